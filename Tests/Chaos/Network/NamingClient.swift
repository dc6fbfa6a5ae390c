import NIOCore
import NIOPosix
import Synchronization

/// A connection to a `NamingServer`, wherever the network led it.
final class NamingClient: Sendable {
    /// How it ended, for those that were not made.
    enum Failure: String, Error {
        case refused
        case unanswered
        case closed
    }

    /// Whose it is.
    let name: String
    private let channel: any Channel
    private let lines: Lines

    private init(name: String, channel: any Channel, lines: Lines) {
        self.name = name
        self.channel = channel
        self.lines = lines
    }

    static func connect(
        to host: String, port: Int, within patience: TimeAmount
    ) async throws(Failure) -> NamingClient {
        let lines = Lines()
        let connecting = ClientBootstrap(group: MultiThreadedEventLoopGroup.singleton)
            .connectTimeout(patience)
            .channelOption(.tcpOption(.tcp_nodelay), value: 1)
            .channelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    try channel.pipeline.syncOperations.addHandler(LineReader(lines))
                }
            }
            .connect(host: host, port: port)
        let channel: any Channel
        do {
            channel = try await connecting.get()
        } catch let error as NIOConnectionError
            where error.connectionErrors.contains(where: { $0.error is ChannelError })
        {
            throw .unanswered
        } catch is ChannelError {
            throw .unanswered
        } catch {
            throw .refused
        }
        let name: String
        do {
            name = try await lines.next(on: channel.eventLoop, within: patience)
        } catch {
            channel.close(promise: nil)
            throw error
        }
        return NamingClient(name: name, channel: channel, lines: lines)
    }

    /// Whether the other end still answers.
    func lives(within patience: TimeAmount) async -> Bool {
        self.channel.writeAndFlush(ByteBuffer(string: "Are you there?\n"), promise: nil)
        return (try? await self.lines.next(on: self.channel.eventLoop, within: patience)) == "Are you there?"
    }

    func close() {
        self.channel.close(promise: nil)
    }
}

/// What the other end said, line by line; one waits for it.
private final class Lines: Sendable {
    private struct State {
        var said: [String] = []
        var isClosed = false
        var waiting: EventLoopPromise<String>?
    }

    private let state = Mutex(State())

    func next(on loop: any EventLoop, within patience: TimeAmount) async throws(NamingClient.Failure) -> String {
        let promise = loop.makePromise(of: String.self)
        let known: Result<String, NamingClient.Failure>? = self.state.withLock { state in
            if !state.said.isEmpty { return .success(state.said.removeFirst()) }
            if state.isClosed { return .failure(.closed) }
            state.waiting = promise
            return nil
        }
        if let known { promise.completeWith(known.mapError { $0 }) }
        let deadline = loop.scheduleTask(in: patience) { promise.fail(NamingClient.Failure.unanswered) }
        defer { deadline.cancel() }
        do {
            return try await promise.futureResult.get()
        } catch let failure as NamingClient.Failure {
            throw failure
        } catch {
            throw .closed
        }
    }

    func add(_ line: String) {
        let waiting = self.state.withLock { state in
            defer { state.waiting = nil }
            if state.waiting == nil { state.said.append(line) }
            return state.waiting
        }
        waiting?.succeed(line)
    }

    func end() {
        let waiting = self.state.withLock { state in
            state.isClosed = true
            defer { state.waiting = nil }
            return state.waiting
        }
        waiting?.fail(NamingClient.Failure.closed)
    }
}

private final class LineReader: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer

    private let lines: Lines
    private var begun = ""

    init(_ lines: Lines) {
        self.lines = lines
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        self.begun += String(buffer: self.unwrapInboundIn(data))
        while let end = self.begun.firstIndex(of: "\n") {
            self.lines.add(String(self.begun[..<end]))
            self.begun.removeSubrange(...end)
        }
    }

    func channelInactive(context: ChannelHandlerContext) {
        self.lines.end()
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        context.close(promise: nil)
    }
}
