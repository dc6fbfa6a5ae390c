import Cloud
package import CoAP
import CoAPTransport
package import NIOCore

/// The bounds and spans of connections between our own programs.
package struct HopLimits: Sendable {
    /// What we take unanswered on one connection.
    package var window = HopWindow()
    /// What is observed over one connection, and the bytes that are kept for it at the side that observes.
    package var maximumObservations = 10_000
    package var maximumObservationBytes = 8 << 20
    /// The largest message, in bytes: a device's largest, and what the hop adds to it.
    package var maximumMessageSize = 1 << 20 | 1 << 16
    /// Above this a body goes in blocks, in bytes.
    package var blockThreshold = 16 << 10
    /// Connections we accept, and how many of them may be without proof at one time.
    package var maximumConnections = 4096
    package var maximumUnproven = 256
    /// How long an accepted connection may take to prove itself, the handshake of TLS included.
    package var unprovenTimeout = TimeAmount.seconds(5)
    /// How old an accepted connection gets before it is released, give or take 20 %; nil: any age. What has one name
    /// and several replicas needs it, lest the new ones stay without work.
    package var maximumAge: TimeAmount?
    /// How long dialling may take, and then the proof.
    package var connectTimeout = TimeAmount.seconds(2)
    package var proofTimeout = TimeAmount.seconds(3)
    /// Requests that may wait for a connection to open, in number and bytes.
    package var waiting = HopWindow(requests: 1024, bytes: 4 << 20)
    /// When a silent acceptor is asked whether it is there.
    package var keepalive = ConnectionConfiguration.Keepalive(time: .seconds(5), interval: .seconds(2), retry: 2)
    /// After so long without a request a connection is closed.
    package var idle = TimeAmount(RouteTimes.hopIdle)
    /// How long a target that could not be reached is not dialled again; doubled with each failure.
    package var firstBackOff = TimeAmount.milliseconds(250)
    package var longestBackOff = TimeAmount.seconds(2)
    /// Targets of one event loop.
    package var maximumTargets = 256
    /// How long a request without a Deadline may take.
    package var defaultDeadline = TimeAmount.seconds(20)
    /// How long requests in flight may go on after a Release: no deadline is later.
    package var releaseGrace = TimeAmount.seconds(65)

    package init() {}

    /// What holds for the accepting end.
    var acceptor: ConnectionConfiguration {
        var configuration = self.common
        // The window counts them, and more are answered in another way than the machine's.
        configuration.maximumIncoming = .max
        configuration.maximumObservers = self.maximumObservations
        return configuration
    }

    /// What holds for the dialling end, which is the one that asks.
    var initiator: ConnectionConfiguration {
        var configuration = self.common
        configuration.keepalive = self.keepalive
        configuration.maximumInFlight = .max
        configuration.maximumQueued = 0
        configuration.maximumObservations = self.maximumObservations
        configuration.maximumObservationBytes = self.maximumObservationBytes
        return configuration
    }

    private var common: ConnectionConfiguration {
        ConnectionConfiguration(
            limits: FrameLimits(maximumMessageSize: self.maximumMessageSize), releaseGrace: self.releaseGrace,
            isInternal: true, blocks: self.blocks)
    }

    /// A large body crosses in blocks, so that a small message waits behind one of them at most. The window counts
    /// whole requests, so it holds for what of them has come so far as well.
    private var blocks: BlockLimits {
        var blocks = BlockLimits(bodyBytes: self.maximumMessageSize)
        blocks.threshold = self.blockThreshold
        blocks.uploads = self.window.requests
        blocks.uploadBytes = max(self.window.bytes, self.maximumMessageSize)
        blocks.keptAnswers = self.window.requests
        blocks.keptBytes = self.window.bytes
        blocks.fetches = self.window.requests
        return blocks
    }

    /// Before the proof a message is small; afterwards nothing stops the reading.
    var transport: TransportLimits {
        TransportLimits(
            messagesPerSecond: nil, messagesPerTurn: 64, outboundBufferBytes: 16 << 20, readsWhileUnwritable: true,
            firstMessageBytes: 8 << 10)
    }
}

extension TimeAmount {
    /// This part of it, e.g. 0.8 of 10 min.
    func scaled(by factor: Double) -> TimeAmount {
        .nanoseconds(Int64(Double(self.nanoseconds) * factor))
    }
}
