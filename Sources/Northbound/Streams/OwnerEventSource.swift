import CBOR
import Cloud
import NIOCore
import OCF

/// An owner's log from a place on, without end.
struct OwnerEventSource: StreamSource {
    private static let pageSize = 100
    /// When a log that could not be read is tried again.
    private static let retry: TimeAmount = .milliseconds(500)

    let log: any EventHistory
    let uid: UserID
    /// What the client read last; nil: it reads from now on.
    let resumed: String?
    let loop: any EventLoop
    let mailbox: StreamMailbox
    let metrics: NorthboundMetrics
    /// What was written last; nil until the log could be read.
    private var place: EventLogID?

    init(
        log: any EventHistory, uid: UserID, resumed: String?, loop: any EventLoop, mailbox: StreamMailbox,
        metrics: NorthboundMetrics
    ) {
        self.log = log
        self.uid = uid
        self.resumed = resumed
        self.loop = loop
        self.mailbox = mailbox
        self.metrics = metrics
    }

    mutating func begin() async -> StreamStep {
        await self.hear(.news)
    }

    mutating func hear(_ signal: StreamSignal) async -> StreamStep {
        guard signal == .news else { return StreamStep() }
        do throws(RouteStoreUnavailable) {
            guard let place else { return try await self.open() }
            return self.write(try await self.log.read(of: self.uid, after: place, limit: Self.pageSize))
        } catch {
            let mailbox = self.mailbox
            self.loop.scheduleTask(in: Self.retry) { mailbox.putNews() }
            return StreamStep()
        }
    }

    private mutating func open() async throws(RouteStoreUnavailable) -> StreamStep {
        let known = self.resumed.flatMap { EventLogID($0) }
        let place: EventLogID
        if let known { place = known } else { place = try await self.log.last(of: self.uid) }
        self.place = place
        // Whoever comes again before the first event must be able to say where he was.
        var step = StreamStep(next: .again)
        ServerSentEvent(name: "ready", id: place.text, data: Transcoding.json(.map([DataItem.Pair]())))
            .write(to: &step.bytes)
        if self.resumed != nil, known == nil { self.gap(at: place).write(to: &step.bytes) }
        return step
    }

    private mutating func write(_ page: EventPage) -> StreamStep {
        var bytes = ByteBuffer()
        if page.gap {
            let first = page.events.first.flatMap { EventLogID($0.id) }
            let before = first.map { EventLogID(milliseconds: $0.milliseconds, number: max($0.number, 1) - 1) }
            self.gap(at: before ?? page.last).write(to: &bytes)
        }
        for logged in page.events { Self.event(logged).write(to: &bytes) }
        let isEnd = page.last == self.place
        self.place = page.last
        return StreamStep(bytes: bytes, next: isEnd ? .wait : .again)
    }

    private func gap(at place: EventLogID) -> ServerSentEvent {
        self.metrics.countGap()
        let text = "Events are lost between the last one and this: look at GET /devices for what there is now."
        return ServerSentEvent(name: "gap", id: place.text, data: Transcoding.json(.map(["text": .text(text)])))
    }

    private static func event(_ logged: LoggedEvent) -> ServerSentEvent {
        let event = logged.event
        var members: [DataItem.Pair] = []
        if let di = event.di { members.append(.init("di", .text(di.text))) }
        members.append(.init("at", .text(event.at.internetDate)))
        members.append(.init("text", .text(event.text)))
        return ServerSentEvent(name: event.kind.rawValue, id: logged.id, data: Transcoding.json(.map(members)))
    }
}
