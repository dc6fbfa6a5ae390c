/// What went wrong before there was a connection.
package struct TransportError: Error, Sendable {
    package enum Code: Sendable, Hashable {
        /// The name has no address.
        case unresolved
        /// Nobody listens there, or a firewall says so.
        case refused
        case timedOut
        /// Over TLS, the peer's certificate comes from no authority that is believed, or is not for its name.
        case untrusted
        /// Whoever listens there does not speak TLS.
        case notTLS
        /// This process, or this machine, has no more files or local ports to connect with.
        case exhausted
        case failed
    }

    package let code: Code
    /// What happened, to what.
    package let message: String

    package init(_ code: Code, _ message: String) {
        self.code = code
        self.message = message
    }
}

extension TransportError: CustomStringConvertible {
    package var description: String { self.message }
}
