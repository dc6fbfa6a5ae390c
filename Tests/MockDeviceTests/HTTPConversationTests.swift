import NIOCore
import NIOPosix
import Synchronization
import Testing

@testable import MockDevice

@Suite("Requests on one connection")
struct HTTPConversationTests {
    private enum Step {
        case answer(String)
        /// And closes without having said that it would.
        case answerAndClose(String)
        case close
    }

    private static let good = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"
    private static let last = "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nhi"

    /// The number of the connection that each of the requests came on, and what became of them.
    private func connections(_ steps: [Step], requests: Int) async throws -> (used: [Int], failed: Int) {
        let server = Server(steps)
        let channel = try await server.start()
        var conversation = HTTPConversation(
            HTTPDoor(host: "127.0.0.1", port: channel.localAddress?.port ?? 0), tls: nil)
        var failed = 0
        for number in 0..<requests {
            do {
                let answer = try await conversation.repeatable(
                    "POST", "/\(number)", token: "t", headers: [], body: "{}",
                    clock: CaseClock(patience: .seconds(20), end: .now + .seconds(40)))
                #expect(answer.text == "hi")
            } catch {
                failed += 1
            }
        }
        await conversation.end()
        try await channel.close()
        return (server.state.withLock { $0.used }, failed)
    }

    @Test("Where the cloud keeps it open, one connection does")
    func kept() async throws {
        let (used, failed) = try await self.connections([.answer(Self.good), .answer(Self.good)], requests: 2)
        #expect(used == [1, 1])
        #expect(failed == 0)
    }

    @Test("Behind an answer that says close, or whose end nothing else tells, comes another connection")
    func ended() async throws {
        let endless = "HTTP/1.1 200 OK\r\n\r\nhi"
        for step in [Step.answer(Self.last), .answerAndClose(endless)] {
            let (used, failed) = try await self.connections([step, .answer(Self.good)], requests: 2)
            #expect(used == [1, 2])
            #expect(failed == 0)
        }
    }

    @Test("A connection that was closed while nothing was asked is not a failure")
    func stale() async throws {
        let (used, failed) = try await self.connections(
            [.answerAndClose(Self.good), .answer(Self.good)], requests: 2)
        // The request may reach the server's side of what it has closed, or not.
        #expect(used.first == 1)
        #expect(used.last == 2)
        #expect(failed == 0)
    }

    @Test("A cloud that closes at once is asked once more on another connection, and not for ever")
    func closing() async throws {
        let (used, failed) = try await self.connections(
            [.answer(Self.good), .close, .close, .answer(Self.good)], requests: 3)
        #expect(used == [1, 1, 2, 3])
        #expect(failed == 1)
    }

    /// Does one step for each request that comes.
    private final class Server: Sendable {
        struct State {
            var steps: [Step]
            var connections = 0
            var used: [Int] = []
        }

        let state: Mutex<State>

        init(_ steps: [Step]) {
            self.state = Mutex(State(steps: steps))
        }

        func start() async throws -> any Channel {
            try await ServerBootstrap(group: MultiThreadedEventLoopGroup.singleton)
                .childChannelInitializer { channel in
                    channel.eventLoop.makeCompletedFuture {
                        let number = self.state.withLock { state in
                            state.connections += 1
                            return state.connections
                        }
                        try channel.pipeline.syncOperations.addHandler(Handler(self, number))
                    }
                }
                .bind(host: "127.0.0.1", port: 0)
                .get()
        }

        func next(on connection: Int) -> Step {
            self.state.withLock { state in
                state.used.append(connection)
                return state.steps.isEmpty ? .close : state.steps.removeFirst()
            }
        }
    }

    private final class Handler: ChannelInboundHandler {
        typealias InboundIn = ByteBuffer
        typealias OutboundOut = ByteBuffer

        private let server: Server
        private let number: Int
        private var text = ""

        init(_ server: Server, _ number: Int) {
            self.server = server
            self.number = number
        }

        func channelRead(context: ChannelHandlerContext, data: NIOAny) {
            self.text += String(buffer: self.unwrapInboundIn(data))
            guard self.text.hasSuffix("{}") else { return }
            #expect(!self.text.contains("Connection:"))
            self.text = ""
            switch self.server.next(on: self.number) {
            case .answer(let text):
                context.writeAndFlush(self.wrapOutboundOut(ByteBuffer(string: text)), promise: nil)
            case .answerAndClose(let text):
                context.writeAndFlush(self.wrapOutboundOut(ByteBuffer(string: text)), promise: nil)
                context.close(promise: nil)
            case .close:
                context.close(promise: nil)
            }
        }
    }
}
