import NIOCore
import NIOHTTP1
import NIOPosix
import Synchronization
import TestSupport

/// Reads Server-Sent Events from one northbound, each when it is asked for. Every wait has a deadline.
final class EventReader: Sendable {
    struct Event: Hashable, Sendable {
        var id: String?
        var name = ""
        var data = ""
    }

    private let channel: any Channel
    private let inbox: EventInbox

    private init(channel: any Channel, inbox: EventInbox) {
        self.channel = channel
        self.inbox = inbox
    }

    /// Asks, and waits until the stream has begun; throws if the answer is none.
    static func open(
        _ door: HTTPTestClient, _ path: String, token: String, after id: String? = nil
    ) async throws -> EventReader {
        let inbox = EventInbox()
        let channel = try await ClientBootstrap(group: MultiThreadedEventLoopGroup.singleton)
            .channelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    try channel.pipeline.syncOperations.addHTTPClientHandlers()
                    try channel.pipeline.syncOperations.addHandler(EventHandler(inbox: inbox))
                }
            }
            .connect(host: door.host, port: door.port)
            .get()
        var fields = HTTPHeaders([
            ("host", "\(door.host):\(door.port)"), ("accept", "text/event-stream"),
            ("authorization", "Bearer \(token)"),
        ])
        if let id { fields.add(name: "last-event-id", value: id) }
        channel.write(
            HTTPClientRequestPart.head(.init(version: .http1_1, method: .GET, uri: path, headers: fields)),
            promise: nil)
        channel.writeAndFlush(HTTPClientRequestPart.end(nil), promise: nil)
        let reader = EventReader(channel: channel, inbox: inbox)
        let head = try await reader.take()
        guard case .head(200) = head else {
            await reader.close()
            throw PeerError("\(head) to GET \(path) where a stream was expected")
        }
        return reader
    }

    /// The next event.
    func next() async throws -> Event {
        let item = try await self.take()
        guard case .event(let event) = item else { throw PeerError("\(item) where an event was expected") }
        return event
    }

    /// As many events as are asked for.
    func next(_ count: Int) async throws -> [Event] {
        var events: [Event] = []
        for _ in 0..<count { events.append(try await self.next()) }
        return events
    }

    /// The next thing is the end of the stream.
    func receiveEnd() async throws {
        let item = try await self.take()
        guard case .end = item else { throw PeerError("\(item) where the end of the stream was expected") }
    }

    func close() async {
        try? await self.channel.close()
    }

    private func take() async throws -> EventInbox.Item {
        try await self.inbox.next(on: self.channel.eventLoop)
    }
}

/// What arrived, in order.
private final class EventInbox: Sendable {
    enum Item: Hashable, Sendable {
        case head(UInt)
        case event(EventReader.Event)
        case end
    }

    private struct State {
        var items: [Item] = []
        var waiter: EventLoopPromise<Item>?
        /// What was taken last, for who waits in vain.
        var last: Item?
    }

    private let state = Mutex(State())

    func push(_ item: Item) {
        let waiter = self.state.withLock { state -> EventLoopPromise<Item>? in
            guard let waiter = state.waiter else {
                state.items.append(item)
                return nil
            }
            (state.waiter, state.last) = (nil, item)
            return waiter
        }
        waiter?.succeed(item)
    }

    func next(on eventLoop: any EventLoop) async throws -> Item {
        let promise = eventLoop.makePromise(of: Item.self)
        let known = self.state.withLock { state -> Item? in
            guard let first = state.items.first else {
                state.waiter = promise
                return nil
            }
            if first != .end { state.items.removeFirst() }
            state.last = first
            return first
        }
        if let known { promise.succeed(known) }
        let deadline = eventLoop.scheduleTask(in: ScriptedPeer.patience) { self.giveUp() }
        defer { deadline.cancel() }
        return try await promise.futureResult.get()
    }

    private func giveUp() {
        let (waiter, last) = self.state.withLock { state in
            defer { state.waiter = nil }
            return (state.waiter, state.last)
        }
        waiter?.fail(PeerError("nothing came in time after \(last.map { "\($0)" } ?? "the request")"))
    }
}

private final class EventHandler: ChannelInboundHandler {
    typealias InboundIn = HTTPClientResponsePart

    private let inbox: EventInbox
    private var text = ""

    init(inbox: EventInbox) {
        self.inbox = inbox
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        switch self.unwrapInboundIn(data) {
        case .head(let head): self.inbox.push(.head(head.status.code))
        case .body(let part):
            self.text += String(buffer: part)
            while let end = self.text.firstRange(of: "\n\n") {
                self.read(self.text[..<end.lowerBound])
                self.text = String(self.text[end.upperBound...])
            }
        case .end: self.inbox.push(.end)
        }
    }

    /// One block; those that are no event (a heartbeat, the time to come again) are passed over.
    private func read(_ block: Substring) {
        var event = EventReader.Event()
        for line in block.split(separator: "\n") {
            let parts = line.split(separator: ": ", maxSplits: 1).map(String.init)
            guard parts.count == 2 else { continue }
            switch parts[0] {
            case "id": event.id = parts[1]
            case "event": event.name = parts[1]
            case "data": event.data += parts[1]
            default: break
            }
        }
        if !event.name.isEmpty { self.inbox.push(.event(event)) }
    }

    func channelInactive(context: ChannelHandlerContext) {
        self.inbox.push(.end)
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        context.close(promise: nil)
    }
}
