package import Certificates
package import CoAP
package import NIOCore

/// What stands behind one connection: a device session, a client's answers. Every call comes on the connection's event
/// loop, so an implementation needs no lock and is not Sendable.
package protocol ConnectionDelegate: AnyObject {
    /// The connection is up and our CSM is written.
    func connectionOpened(_ connection: CoAPConnection)
    /// The TLS handshake is over, before anything else of the peer: with its certificate if it has shown one that was
    /// checked. Called on accepted connections only, and not without TLS.
    func connectionSecured(with certificate: PeerCertificate?)
    /// A request to be answered, once, with `connection.respond(to:with:)`.
    ///
    /// A GET that registers (Observe 0) may be answered any number of times: each answer with the Observe option keeps
    /// the peer registered, the first one without it, or with an error, is the last (RFC 7641 §4.2).
    func connectionReceived(_ request: Request, id: IncomingID)
    /// The peer does not observe any more what this request registered: it said so, or registered anew under the same
    /// token. Answers to it are ignored from here on.
    func connectionCancelled(_ id: IncomingID)
    /// The peer sent a Release and will be closed once nothing is in flight; with the addresses that it names,
    /// `host:port` as it says (RFC 8323 §5.5).
    func connectionReleased(to alternativeAddresses: [String])
    /// A request was answered before anybody looked at its resource: its options are wrong, or too many are under way.
    func connectionRefused(with code: Code)
    /// Something came in that needs nothing done.
    func connectionIgnored(_ message: IgnoredMessage)
    /// The end is decided; bytes already written may still be on their way. Nothing comes after this, and all requests
    /// were completed before.
    func connectionEnded(_ end: ConnectionEnd)
}

extension ConnectionDelegate {
    package func connectionSecured(with certificate: PeerCertificate?) {}
    package func connectionCancelled(_ id: IncomingID) {}
    package func connectionRefused(with code: Code) {}
}

/// What the transport itself bounds, beside the machine's own bounds: one for all connections of a listener.
package final class TransportLimits: Sendable {
    /// Messages a peer may send a second, and at once; nil for peers that are our own programs.
    package let messagesPerSecond: Int?
    package let messageBurst: Int
    /// How many messages of one connection are handled before others on the same event loop get their turn.
    package let messagesPerTurn: Int
    /// How many bytes may wait for a slow reader, and for how long.
    package let outboundBufferBytes: Int
    package let slowReaderTimeout: TimeAmount
    /// How long bytes on their way to a peer may stay unacknowledged by its kernel (`TCP_USER_TIMEOUT`): a device whose
    /// way back is gone is noticed with the first request, not after a quarter of an hour of retransmissions.
    package let userTimeoutMilliseconds: Int
    /// How long after an Abort we wait for the peer to close, so that a reset does not overtake the Abort.
    package let abortLinger: TimeAmount
    /// Whether to read on while bytes wait for a slow reader. Between our own programs, where requests and answers are
    /// many, two that wait for each other to read would never go on; they are bounded by their window instead.
    package let readsWhileUnwritable: Bool
    /// How long PROXY header, TLS handshake and upgrade to WebSocket may take together.
    package let openingTimeout: TimeAmount
    /// How large a message may be before `CoAPConnection.takeLargeMessages`, in bytes; nil: as the configuration says.
    package let firstMessageBytes: Int?
    /// How often to look whether a peer's certificate is over.
    package let certificateInterval: TimeAmount

    package init(
        messagesPerSecond: Int? = 200, messageBurst: Int = 400, messagesPerTurn: Int = 16,
        outboundBufferBytes: Int = 256 * 1024, slowReaderTimeout: TimeAmount = .seconds(30),
        userTimeoutMilliseconds: Int = 20_000, abortLinger: TimeAmount = .seconds(1),
        readsWhileUnwritable: Bool = false, openingTimeout: TimeAmount = .seconds(10), firstMessageBytes: Int? = nil,
        certificateInterval: TimeAmount = .seconds(10)
    ) {
        self.messagesPerSecond = messagesPerSecond
        self.messageBurst = messageBurst
        self.messagesPerTurn = messagesPerTurn
        self.outboundBufferBytes = outboundBufferBytes
        self.slowReaderTimeout = slowReaderTimeout
        self.userTimeoutMilliseconds = userTimeoutMilliseconds
        self.abortLinger = abortLinger
        self.readsWhileUnwritable = readsWhileUnwritable
        self.openingTimeout = openingTimeout
        self.firstMessageBytes = firstMessageBytes
        self.certificateInterval = certificateInterval
    }
}
