package import CoAP

/// A connection to a cloud, as far as the device needs one. Carried out over TCP by `TCPDialer`.
package protocol CloudConnection: Sendable {
    /// Sends a request and waits for its answer.
    func send(_ request: Request, timeout: Duration) async throws(CallFailure) -> Response
    /// Says Release and closes; returns when the connection is closed.
    func close() async
    /// Why the connection ended; waits until it has.
    var loss: ConnectionLoss { get async }
}

/// Makes connections to clouds.
package protocol CloudDialer: Sendable {
    /// - Parameter server: answers what the cloud asks of the device.
    func connect(
        to address: ServerAddress, timeout: Duration, server: any Responder,
    ) async throws(ConnectFailure) -> any CloudConnection
}

/// Why there is no connection.
package struct ConnectFailure: Error, Sendable, Hashable {
    package enum Code: Sendable, Hashable {
        /// The name has no address.
        case unresolvable
        /// Nobody listens there.
        case refused
        /// No answer in time.
        case timedOut
        /// The cloud's certificate comes from nobody we believe, or names somebody else.
        case untrusted
        /// This process or machine cannot open any more connections.
        case exhausted
        /// A file of `--ca`, `--certificate` or `--key`.
        case unusableCertificates
        /// Whoever listens there does not speak TLS.
        case notTLS
        case other
    }

    package let code: Code
    /// What the operating system or the transport said.
    package let message: String

    package init(_ code: Code, message: String) {
        self.code = code
        self.message = message
    }
}

/// Why a request has no answer.
package struct CallFailure: Error, Sendable, Hashable {
    package enum Code: Sendable, Hashable {
        case timedOut
        case connectionLost
        /// The answer holds an option that must not be ignored (RFC 7252 §5.4.1).
        case unusable
        case other
    }

    package let code: Code
    /// True if the cloud may have acted on the request.
    package let wasDelivered: Bool
    package let message: String

    package init(_ code: Code, wasDelivered: Bool, message: String) {
        self.code = code
        self.wasDelivered = wasDelivered
        self.message = message
    }
}

/// How a connection ended.
package enum ConnectionLoss: Sendable, Hashable {
    case closedByUs
    case closedByPeer
    /// The peer asked us to leave, for this many seconds (RFC 8323 §5.5).
    case released(holdOff: UInt32?)
    /// The peer broke off, with its diagnostic text (RFC 8323 §5.6).
    case aborted(String)
    /// The peer does not answer our Pings.
    case timedOut
    case failed(String)
}
