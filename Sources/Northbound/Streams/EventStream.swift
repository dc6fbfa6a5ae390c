import CoAP
import HummingbirdCore
import NIOCore
import Synchronization

/// What a stream writes next.
struct StreamStep {
    enum Next {
        /// Nothing until there is a signal.
        case wait
        /// There is more to say: to be asked for it as if there were news, so that what ends a stream comes before.
        case again
        case end
    }

    var bytes = ByteBuffer()
    var next = Next.wait
}

/// What a stream is about.
protocol StreamSource: Sendable {
    mutating func begin() async -> StreamStep
    mutating func hear(_ signal: StreamSignal) async -> StreamStep
}

/// A response that goes on until its source ends, its client goes, or its token is good no more.
///
/// It lets go of its place and its source when it is let go itself, whether it was begun or not.
package final class EventStream: Sendable {
    struct Times: Sendable {
        /// How often something is written at least, and the token looked at again.
        var heartbeat: Duration
        /// How long a write may take until the reader counts as too slow.
        var patience: Duration
    }

    private let place: Mutex<StreamPlace?>
    private let mailbox: StreamMailbox
    private let source: any StreamSource
    private let channel: any Channel
    private let times: Times
    private let metrics: NorthboundMetrics
    private let requestID: String
    private let isAuthorized: @Sendable () async -> Bool

    /// - Parameter isAuthorized: whether the token that opened it is still good.
    init(
        _ source: any StreamSource, place: StreamPlace, scope: RequestScope, times: Times, metrics: NorthboundMetrics,
        isAuthorized: @escaping @Sendable () async -> Bool
    ) {
        self.place = Mutex(place)
        self.mailbox = place.mailbox
        self.source = source
        self.channel = scope.channel
        self.times = times
        self.metrics = metrics
        self.requestID = scope.id
        self.isAuthorized = isAuthorized
    }

    func run(_ writer: inout any ResponseBodyWriter) async throws {
        let heartbeats = self.startTimers()
        defer {
            heartbeats.cancel()
            self.place.withLock { $0 = nil }
        }
        try await writer.write(ServerSentEvent.retry())
        var source = self.source
        var step = await source.begin()
        while true {
            if step.bytes.readableBytes > 0 { try await writer.write(step.bytes) }
            switch step.next {
            case .end: return try await writer.finish(nil)
            case .again: self.mailbox.putNews()
            case .wait: break
            }
            step = await self.step(await self.mailbox.next(), &source)
        }
    }

    private func step(_ signal: StreamSignal, _ source: inout any StreamSource) async -> StreamStep {
        switch signal {
        case .over(let end): self.last(end)
        case .heartbeat:
            await self.isAuthorized() ? StreamStep(bytes: ServerSentEvent.heartbeat) : self.last(.unauthorized)
        case .notified, .ended, .news: await source.hear(signal)
        }
    }

    private func last(_ end: StreamEnd) -> StreamStep {
        switch end {
        case .unauthorized:
            let problem = Problem(.unauthorized, "The token this stream was opened with is good no more.")
            return StreamStep(bytes: ServerSentEvent.end(problem, requestID: self.requestID).bytes, next: .end)
        case .quiescing:
            return StreamStep(bytes: ServerSentEvent.retry(), next: .end)
        case .late, .disconnected:
            // Who sees no end connects again.
            return StreamStep(next: .end)
        }
    }

    private func startTimers() -> RepeatedTask {
        let (mailbox, channel, patience) = (self.mailbox, self.channel, self.times.patience)
        let metrics = self.metrics
        // The connection may have many streams after this one, and keeps what is told of its end until then.
        channel.closeFuture.whenComplete { [weak mailbox] _ in mailbox?.finish(.disconnected) }
        let period = TimeAmount(self.times.heartbeat)
        return channel.eventLoop.scheduleRepeatedTask(initialDelay: period, delay: period) { heartbeats in
            guard let busy = mailbox.beat(), busy > patience else { return }
            // What it was to be told waits in its log or was replaced by something newer: closing loses nothing.
            heartbeats.cancel()
            metrics.countDropped()
            channel.close(promise: nil)
        }
    }
}

extension EventStream: Hashable {
    package static func == (one: EventStream, other: EventStream) -> Bool { one === other }

    package func hash(into hasher: inout Hasher) {
        hasher.combine(ObjectIdentifier(self))
    }
}

extension ServerSentEvent {
    /// The last event of a stream that will not go on: why.
    static func end(_ problem: Problem, requestID: String) -> ServerSentEvent {
        ServerSentEvent(name: "end", data: HTTPAnswer(problem, requestID: requestID).body)
    }
}
