package import NIOCore

/// What bounds the block-wise transfers of one connection (RFC 7959 §7.1: state a peer makes us keep).
package struct BlockLimits: Hashable, Sendable {
    /// The largest body put together from blocks, in bytes.
    package var bodyBytes: Int
    /// Bodies the peer uploads at one time, and how many bytes of them are kept.
    package var uploads = 4
    package var uploadBytes: Int
    /// How long an upload may make no progress.
    package var uploadIdle = TimeAmount.seconds(30)
    /// Answers kept for the peer to fetch the rest of, and how many bytes of them.
    package var keptAnswers = 4
    package var keptBytes: Int
    /// How long each is kept.
    package var keptFor = TimeAmount.seconds(60)
    /// Notifications of which the rest is fetched at one time; others wait for it.
    package var fetches = 4
    /// Bodies above this go in blocks although one message could hold them, lest a small message wait behind a large
    /// one; nil: only what has to.
    package var threshold: Int?
    /// How much one BERT message carries (RFC 8323 §6).
    package var bertBytes = 16 << 10

    /// - Parameter bodyBytes: all uploads together may take as much as one of them, kept answers four times that.
    package init(bodyBytes: Int) {
        self.bodyBytes = bodyBytes
        self.uploadBytes = bodyBytes
        self.keptBytes = 4 * bodyBytes
    }
}

/// What both kinds of transfers go by, the same on all connections of one kind.
package final class BlockSettings: Sendable {
    let limits: BlockLimits
    /// Between our own programs: internal options pass, and both ends are this code.
    let isInternal: Bool
    private let announcesBERT: Bool
    /// How much longer than with eight bytes a message may be for the token of the peer's request.
    let longerToken: Int

    package init(_ configuration: ConnectionConfiguration) {
        self.limits = configuration.blocks
        self.isInternal = configuration.isInternal
        self.announcesBERT = configuration.limits.maximumMessageSize > PeerSettings.baseMessageSize
        // Up to two bytes more say how long it is (RFC 8974 §2.1).
        let longer = configuration.limits.maximumTokenLength - Token.baseMaximumLength
        self.longerToken = longer > 0 ? longer + 2 : 0
    }

    /// Both ends have said so (RFC 8323 §6). Unspecified: for one of them to do so is not enough for either direction.
    func speaksBERT(with peer: PeerSettings) -> Bool {
        self.announcesBERT && peer.announcesBERT
    }

    package var fetches: Int { self.limits.fetches }

    /// The largest blocks to begin with.
    func largestExponent(with peer: PeerSettings) -> UInt8 {
        self.speaksBERT(with: peer) ? BlockOption.bert : BlockOption.bert - 1
    }

    func isAboveThreshold(_ body: ByteBuffer?) -> Bool {
        guard let threshold = self.limits.threshold, let body else { return false }
        return body.readableBytes > threshold
    }
}
