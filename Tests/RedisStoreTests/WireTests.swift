import NIOCore
import NIOPosix
import RedisStore
import TestSupport
import Testing

/// A server that says what a test wants: first the login as a master answers it, then, to the next command, bytes of
/// the test's choice.
private final class FakeServer: Sendable {
    enum Behaviour: Sendable {
        /// To the first commands of each connection, instead of the login.
        case greeting(String)
        /// To each command after the login.
        case answer(String, thenClose: Bool)
    }

    private final class Handler: ChannelInboundHandler {
        typealias InboundIn = ByteBuffer
        typealias OutboundOut = ByteBuffer

        private let behaviour: Behaviour
        private var isLoggedIn = false

        init(_ behaviour: Behaviour) {
            self.behaviour = behaviour
        }

        func channelRead(context: ChannelHandlerContext, data: NIOAny) {
            switch self.behaviour {
            case .greeting(let text): self.say(text, context)
            case .answer(let text, let thenClose):
                guard self.isLoggedIn else {
                    self.isLoggedIn = true
                    let (role, memory) = ("role:master\r\n", "maxmemory_policy:noeviction\r\n")
                    return self.say("+OK\r\n" + Self.bulk(role) + Self.bulk(memory), context)
                }
                self.say(text, context)
                if thenClose { context.close(promise: nil) }
            }
        }

        private func say(_ text: String, _ context: ChannelHandlerContext) {
            context.writeAndFlush(self.wrapOutboundOut(ByteBuffer(string: text)), promise: nil)
        }

        private static func bulk(_ text: String) -> String { "$\(text.utf8.count)\r\n\(text)\r\n" }
    }

    private let channel: any Channel

    var port: Int { self.channel.localAddress?.port ?? 0 }

    init(_ behaviour: Behaviour) async throws {
        self.channel = try await ServerBootstrap(group: MultiThreadedEventLoopGroup.singleton)
            .childChannelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    try channel.pipeline.syncOperations.addHandler(Handler(behaviour))
                }
            }
            .bind(host: "127.0.0.1", port: 0).get()
    }

    func stop() async throws {
        try await self.channel.close()
    }
}

@Suite("What a server must not send")
struct WireTests {
    /// Sends one command to a server that answers with the bytes; the connection ends, and the next one is made.
    private func outcome(
        _ bytes: String, thenClose: Bool = false, limits: RedisLimits = .patient
    ) async throws -> (Result<RedisValue, RedisError>, reconnected: Bool) {
        let server = try await FakeServer(.answer(bytes, thenClose: thenClose))
        let result = try await withRedis(port: server.port) {
            $0.limits = limits
        } _: { client in
            let made = client.connection
            let answer = await client.ask(RedisCommand("GET", "x"), within: .seconds(60))
            if case .failure(.unavailable) = answer {
                try await eventually("reconnected") { client.connection > made && client.isConnected }
            }
            return (answer, client.connection > made)
        }
        try await server.stop()
        return result
    }

    private func isRefused(_ bytes: String, thenClose: Bool = false, limits: RedisLimits = .patient) async throws
        -> Bool
    {
        let (answer, reconnected) = try await self.outcome(bytes, thenClose: thenClose, limits: limits)
        guard case .failure(.unavailable) = answer else { return false }
        return reconnected
    }

    @Test("Garbage, a cut reply and answers nobody asked for end the connection, and the next one is made")
    func garbage() async throws {
        for bytes in [
            "HTTP/1.1 400 Bad Request\r\n\r\n", "\0\0\0\0", ":12x\r\n", "$-5\r\n", "*-7\r\n", "$3\r\nabcdef\r\n",
        ] {
            #expect(try await self.isRefused(bytes), "\(bytes.debugDescription)")
        }
        #expect(try await self.isRefused("$100\r\nabc", thenClose: true))
        #expect(try await self.isRefused("*3\r\n+a\r\n:1\r\n", thenClose: true))
    }

    @Test("Answers that are too large or nested too deep end the connection")
    func size() async throws {
        var limits = RedisLimits.patient
        limits.replyBytes = 10_000
        #expect(try await self.isRefused("$20000\r\n" + String(repeating: "x", count: 15_000), limits: limits))
        #expect(try await self.isRefused("*2147483647\r\n:1\r\n"))
        #expect(try await self.isRefused("*65537\r\n:1\r\n"))
        #expect(try await self.isRefused(String(repeating: "*1\r\n", count: 10) + ":1\r\n"))
        let deep = String(repeating: "*1\r\n", count: 6) + ":1\r\n"
        var value = RedisValue.integer(1)
        for _ in 0..<6 { value = .array([value]) }
        #expect(try await self.outcome(deep).0 == .success(value))
    }

    @Test("Every kind of answer is understood")
    func kinds() async throws {
        let bytes = "*7\r\n+OK\r\n-ERR no\r\n:-9223372036854775808\r\n$0\r\n\r\n$-1\r\n*-1\r\n*1\r\n$4\r\na\r\n\0\r\n"
        let value = RedisValue.array([
            .status("OK"), .error("ERR no"), .integer(.min), .bytes([]), .null, .null,
            .array([.bytes([97, 13, 10, 0])]),
        ])
        #expect(try await self.outcome(bytes).0 == .success(value))
        #expect(try await self.outcome("-ERR no\r\n").0 == .failure(.answered("ERR no")))
        #expect(try await self.outcome("*0\r\n").0 == .success(.array([])))
    }

    @Test("A command that is too long is refused before it is sent")
    func long() async throws {
        try await withRedis { client in
            var command = RedisCommand("ECHO")
            command.append(String(repeating: "x", count: 65_536))
            #expect(await client.ask(command, within: .seconds(60)) == .failure(.overloaded))
            #expect(await client.ask(RedisCommand("ECHO", ""), within: .seconds(60)) == .success(.bytes([])))
        }
    }

    @Test("What does not answer the login is no Redis")
    func greeting() async throws {
        for text in ["SSH-2.0-OpenSSH_9.2\r\n", "220 mail\r\n"] {
            let server = try await FakeServer(.greeting(text))
            try await withRedis(port: server.port, connected: false) { client in
                try await eventually("refused: \(client.health)") {
                    guard case .unavailable(let reason) = client.health.state else { return false }
                    return reason.contains("is it Redis at all?")
                }
            }
            try await server.stop()
        }
    }
}
