import Metrics
import NIOCore
import NIOPosix
import ServiceLifecycle
import ServiceShell
import Testing

@Suite("Admin port")
struct AdminTests {
    /// Everything the peer sends until it closes.
    private final class Collector: ChannelInboundHandler {
        typealias InboundIn = ByteBuffer
        private var text = ""
        private let done: EventLoopPromise<String>

        init(_ done: EventLoopPromise<String>) {
            self.done = done
        }

        func channelRead(context: ChannelHandlerContext, data: NIOAny) {
            self.text += String(buffer: self.unwrapInboundIn(data))
        }

        func channelInactive(context: ChannelHandlerContext) {
            self.done.succeed(self.text)
        }
    }

    private static func exchange(_ request: String, port: Int) async throws -> String {
        let loop = MultiThreadedEventLoopGroup.singleton.next()
        let done = loop.makePromise(of: String.self)
        let channel = try await ClientBootstrap(group: loop)
            .channelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    try channel.pipeline.syncOperations.addHandler(Collector(done))
                }
            }
            .connect(host: "127.0.0.1", port: port).get()
        try await channel.writeAndFlush(ByteBuffer(string: request))
        return try await done.futureResult.get()
    }

    private static func withServer(
        readiness: Readiness = Readiness(checks: []),
        _ body: (AdminServer) async throws -> Void,
    ) async throws {
        let metrics = MetricsRegistry()
        Counter(label: "hits", factory: metrics).increment(by: 3)
        let pages = AdminPages(readiness: readiness, metrics: metrics) {
            ProgramStatus(
                program: "test-program",
                version: "1.2.3",
                uptimeSeconds: 12,
                requests: ["northbound": 5, "registry": 4],
                requestsServed: 5,
                sessions: 2,
            )
        }
        let server = try await AdminServer.bind(
            host: "127.0.0.1",
            port: 0,
            pages: pages,
            group: MultiThreadedEventLoopGroup.singleton,
        )
        try await body(server)
    }

    /// Runs the server beside `body`, and checks that it ends cleanly.
    private static func serving(
        readiness: Readiness = Readiness(checks: []),
        _ body: @escaping @Sendable (Int) async throws -> Void,
    ) async throws {
        try await Self.withServer(readiness: readiness) { server in
            try await withThrowingTaskGroup(of: Void.self) { group in
                group.addTask { try await server.run() }
                try await body(server.port)
                group.cancelAll()
                try await group.waitForAll()
            }
        }
    }

    @Test("/livez, /readyz, /metrics and /status answer, and every answer ends its connection")
    func pages() async throws {
        try await Self.serving { port in
            let live = try await Self.exchange("GET /livez HTTP/1.1\r\nHost: a\r\n\r\n", port: port)
            #expect(live.hasPrefix("HTTP/1.1 200 OK\r\n"))
            #expect(live.hasSuffix("\r\n\r\nok\n"))
            let metrics = try await Self.exchange("GET /metrics?x=1 HTTP/1.1\r\nHost: a\r\n\r\n", port: port)
            #expect(metrics.contains("content-type: text/plain; version=0.0.4"))
            #expect(metrics.contains("hits_total 3\n"))
            let status = try await Self.exchange("GET /status HTTP/1.1\r\nHost: a\r\n\r\n", port: port)
            #expect(status.contains("content-type: application/json"))
            #expect(status.contains("\"requestsServed\" : 5"))
            #expect(status.contains("\"sessions\" : 2"))
            #expect(status.contains("\"uptimeSeconds\" : 12"))
        }
    }

    @Test("HEAD has the headers of GET and no body; other methods get 405 with Allow; other paths 404")
    func methods() async throws {
        try await Self.serving { port in
            let head = try await Self.exchange("HEAD /livez HTTP/1.1\r\nHost: a\r\n\r\n", port: port)
            #expect(head.hasPrefix("HTTP/1.1 200 OK\r\n"))
            #expect(head.contains("content-length: 3"))
            #expect(head.hasSuffix("\r\n\r\n"))
            for method in ["POST", "PUT", "DELETE", "OPTIONS", "TRACE"] {
                let request = "\(method) /livez HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi"
                let answer = try await Self.exchange(request, port: port)
                #expect(answer.hasPrefix("HTTP/1.1 405 Method Not Allowed\r\n"))
                #expect(answer.contains("allow: GET, HEAD"))
            }
            let other = try await Self.exchange("GET /etc/passwd HTTP/1.1\r\nHost: a\r\n\r\n", port: port)
            #expect(other.hasPrefix("HTTP/1.1 404 Not Found\r\n"))
        }
    }

    @Test("Bytes that are no HTTP end their connection and nothing else")
    func garbage() async throws {
        try await Self.serving { port in
            let answer = try await Self.exchange("\u{16}\u{3}\u{1}\r\n\r\n", port: port)
            #expect(answer.isEmpty || answer.hasPrefix("HTTP/1.1 400"))
            let live = try await Self.exchange("GET /livez HTTP/1.1\r\nHost: a\r\n\r\n", port: port)
            #expect(live.hasPrefix("HTTP/1.1 200"))
        }
    }

    @Test("/readyz is 503 with the reasons until every check has passed, and again when one fails")
    func readiness() async throws {
        let readiness = Readiness(checks: ["database", "listener"])
        try await Self.serving(readiness: readiness) { port in
            let request = "GET /readyz HTTP/1.1\r\nHost: a\r\n\r\n"
            readiness.pass("database")
            let before = try await Self.exchange(request, port: port)
            #expect(before.hasPrefix("HTTP/1.1 503 Service Unavailable\r\n"))
            #expect(before.hasSuffix("listener: not started\n"))
            readiness.pass("listener")
            #expect(readiness.isReady)
            #expect(try await Self.exchange(request, port: port).hasPrefix("HTTP/1.1 200"))
            readiness.fail("database", "cannot be opened")
            #expect(try await Self.exchange(request, port: port).hasSuffix("database: cannot be opened\n"))
        }
    }

    @Test("The port is taken at bind, and what connects before the program serves is answered when it does")
    func bindFirst() async throws {
        try await Self.withServer { server in
            try await withThrowingTaskGroup(of: Void.self) { group in
                let port = server.port
                async let early = Self.exchange("GET /livez HTTP/1.1\r\nHost: a\r\n\r\n", port: port)
                group.addTask { try await server.run() }
                #expect(try await early.hasPrefix("HTTP/1.1 200"))
                group.cancelAll()
                try await group.waitForAll()
            }
        }
    }

    @Test("A port in use is an error that names address, port, and the variable and flag that move it")
    func portInUse() async throws {
        try await Self.withServer { server in
            let pages = AdminPages(readiness: Readiness(checks: []), metrics: MetricsRegistry()) {
                ProgramStatus(program: "", version: "", uptimeSeconds: 0, requests: [:], requestsServed: 0, sessions: 0)
            }
            let error = await #expect(throws: BindError.self) {
                _ = try await AdminServer.bind(
                    host: "127.0.0.1",
                    port: server.port,
                    pages: pages,
                    group: MultiThreadedEventLoopGroup.singleton,
                )
            }
            #expect(
                error?.description
                    == "cannot listen on 127.0.0.1:\(server.port): another program listens there; "
                    + "ADMIN_PORT or --admin-port chooses another port")
            await server.close()
        }
    }
}
