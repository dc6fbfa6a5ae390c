package import NIOCore

/// How one connection behaves and what bounds it.
package struct ConnectionConfiguration: Hashable, Sendable {
    /// When a silent peer is asked whether it is still there (RFC 8323 §5.4).
    package struct Keepalive: Hashable, Sendable {
        /// How long nothing may arrive before the first Ping.
        package var time: TimeAmount
        /// How long each Ping waits before the next.
        package var interval: TimeAmount
        /// How many Pings in a row may go unanswered; then the connection is closed.
        package var retry: Int

        package init(time: TimeAmount = .seconds(60), interval: TimeAmount = .seconds(10), retry: Int = 3) {
            self.time = time
            self.interval = interval
            self.retry = retry
        }
    }

    /// What RFC 8323 has every peer do and some do not. For the devices a cloud is tried out with.
    package struct Omissions: OptionSet, Hashable, Sendable {
        package let rawValue: UInt8

        package init(rawValue: UInt8) {
            self.rawValue = rawValue
        }

        /// Opens without a CSM (RFC 8323 §5.3).
        package static let csm = Omissions(rawValue: 1 << 0)
        /// Answers no Ping (RFC 8323 §5.4).
        package static let pongs = Omissions(rawValue: 1 << 1)
        /// Goes on after a Release of the peer as if nothing had been said (RFC 8323 §5.5).
        package static let release = Omissions(rawValue: 1 << 2)
    }

    package var limits: FrameLimits
    /// Demands a CSM as the peer's first message, as RFC 8323 §5.3 does. Off by default: the most common OCF device
    /// opens with a request.
    package var isStrict: Bool
    /// How long a strict connection waits for the peer's CSM.
    package var csmTimeout: TimeAmount
    /// Nil: never asks.
    package var keepalive: Keepalive?
    /// Requests of ours that wait for an answer at one time.
    package var maximumInFlight: Int
    /// Requests of ours that wait for one of those places, in number and in bytes.
    package var maximumQueued: Int
    package var maximumQueuedBytes: Int
    /// Requests of the peer that wait for our answer at one time; more get 5.03 at once.
    package var maximumIncoming: Int
    /// What we observe at the peer at one time, in number, and in bytes of what is kept for it.
    package var maximumObservations: Int
    package var maximumObservationBytes: Int
    /// What the peer may observe at one time; what it asks for beyond is answered once.
    package var maximumObservers: Int
    /// Custody Pings that wait for earlier requests at one time.
    package var maximumHeldPongs: Int
    /// How long after a Release, of either side, the connection may stay.
    package var releaseGrace: TimeAmount
    /// Whether internal options pass: only between our own programs, after their proof.
    package var isInternal: Bool
    package var omissions: Omissions
    package var blocks: BlockLimits

    /// - Parameter blocks: nil: a body may be as large as a message, and at least 256 KiB.
    package init(
        limits: FrameLimits = FrameLimits(),
        isStrict: Bool = false,
        csmTimeout: TimeAmount = .seconds(30),
        keepalive: Keepalive? = Keepalive(),
        maximumInFlight: Int = 16,
        maximumQueued: Int = 64,
        maximumQueuedBytes: Int = 256 * 1024,
        maximumIncoming: Int = 64,
        maximumObservations: Int = 1024,
        maximumObservationBytes: Int = 256 * 1024,
        maximumObservers: Int = 256,
        maximumHeldPongs: Int = 16,
        releaseGrace: TimeAmount = .seconds(5),
        isInternal: Bool = false,
        omissions: Omissions = [],
        blocks: BlockLimits? = nil
    ) {
        self.limits = limits
        self.isStrict = isStrict
        self.csmTimeout = csmTimeout
        self.keepalive = keepalive
        self.maximumInFlight = maximumInFlight
        self.maximumQueued = maximumQueued
        self.maximumQueuedBytes = maximumQueuedBytes
        self.maximumIncoming = maximumIncoming
        self.maximumObservations = maximumObservations
        self.maximumObservationBytes = maximumObservationBytes
        self.maximumObservers = maximumObservers
        self.maximumHeldPongs = maximumHeldPongs
        self.releaseGrace = releaseGrace
        self.isInternal = isInternal
        self.omissions = omissions
        self.blocks = blocks ?? BlockLimits(bodyBytes: max(256 * 1024, limits.maximumMessageSize))
    }

    /// What a device or client that dials out goes by.
    package static let client = ConnectionConfiguration(keepalive: Keepalive(time: .seconds(20), interval: .seconds(4)))
}

/// What the peer said about itself, all its CSMs taken together (RFC 8323 §5.3).
package struct PeerSettings: Hashable, Sendable {
    /// What holds before anything was said, and for a value of 0 (RFC 8323 §5.3.1).
    package static let baseMessageSize = 1152

    package private(set) var sentCSM = false
    private var announcedMessageSize: Int?
    private var largestReceived = 0
    package private(set) var blockWiseTransfer = false
    package private(set) var extendedTokenLength = Token.baseMaximumLength

    package init() {}

    /// The largest message the peer takes, in bytes. Unspecified: for a peer that never sends a CSM, whatever it has
    /// sent us itself, at least the base value.
    package var maximumMessageSize: Int {
        self.announcedMessageSize ?? max(Self.baseMessageSize, self.largestReceived)
    }

    /// Whether it takes BERT (RFC 8323 §6). Said again with a smaller Max-Message-Size it does no more.
    var announcesBERT: Bool { self.blockWiseTransfer && self.maximumMessageSize > Self.baseMessageSize }

    mutating func apply(_ csm: CSM) {
        self.sentCSM = true
        if let size = csm.maxMessageSize {
            self.announcedMessageSize = size == 0 ? Self.baseMessageSize : Int(size)
        } else if self.announcedMessageSize == nil {
            self.announcedMessageSize = Self.baseMessageSize
        }
        self.blockWiseTransfer = self.blockWiseTransfer || csm.blockWiseTransfer
        if let length = csm.extendedTokenLength {
            // A value below the base is the base (RFC 8974 §2.2.1).
            self.extendedTokenLength = max(Token.baseMaximumLength, Int(length))
        }
    }

    mutating func received(size: Int) {
        self.largestReceived = max(self.largestReceived, size)
    }
}
