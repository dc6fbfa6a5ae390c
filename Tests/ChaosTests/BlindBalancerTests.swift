import NIOCore
import NIOPosix
import Synchronization
import TestSupport
import Testing

@testable import Chaos

@Suite("A blind balancer")
struct BlindBalancerTests {
    @Test("It brings connections to those that answer 200, and one that says nothing holds up nobody")
    func follows() async throws {
        let told = Mutex<[[String]]>([])
        let noted = Mutex<[RunRecord]>([])
        let service = Service("http", number: 1, port: 80)
        let balancer = BlindBalancer(
            service: service, delay: .milliseconds(10) ... .milliseconds(50), seed: 1,
            note: { record in noted.withLock { $0.append(record) } },
            setMembers: { members in told.withLock { $0.append(members.map(\.name)) } })
        let (ready, unready, silent) = (
            try await HealthServer.start(200), try await HealthServer.start(503),
            try await HealthServer.start(nil)
        )
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask { try await balancer.run() }
            for (name, server) in [("silent", silent), ("unready", unready), ("ready", ready)] {
                await balancer.add(
                    name: name, address: "10.91.1.2", port: 80, readiness: ("127.0.0.1", server.port))
            }
            try await balancer.waitUntil(within: .seconds(40)) { $0 == ["ready"] }
            unready.become(200)
            try await balancer.waitUntil(within: .seconds(40)) { $0 == ["ready", "unready"] }
            // It freezes: the kernel still takes connections for it.
            ready.become(nil)
            try await balancer.waitUntil(within: .seconds(40)) { $0 == ["unready"] }
            await balancer.forget("unready")
            try await balancer.waitUntil(within: .seconds(40)) { $0.isEmpty }
            silent.become(200)
            try await balancer.waitUntil(within: .seconds(40)) { $0 == ["silent"] }
            // It is gone without a word.
            try await silent.stop()
            try await balancer.waitUntil(within: .seconds(40)) { $0.isEmpty }
            await #expect(throws: PeerError.self) {
                try await balancer.waitUntil(within: .zero) { $0 == ["unready"] }
            }
            group.cancelAll()
            try await group.waitForAll()
        }
        await #expect(throws: PeerError.self) { try await balancer.waitUntil { $0 == ["unready"] } }
        let expected = [["ready"], ["ready", "unready"], ["unready"], [], ["silent"], []]
        #expect(told.withLock { $0 } == [[]] + expected)
        #expect(noted.withLock { $0.map(\.members) } == expected)
        #expect(noted.withLock { $0.allSatisfy { $0.event == .members && $0.service == "http" } })
        try await ready.stop()
        try await unready.stop()
    }
}

/// Answers whoever asks with the status it has now, or says nothing.
private final class HealthServer: Sendable {
    private final class Status: Sendable {
        let now: Mutex<Int?>

        init(_ status: Int?) {
            self.now = Mutex(status)
        }
    }

    private let answer: Status
    private let listener: any Channel

    var port: Int { self.listener.localAddress?.port ?? 0 }

    private init(_ answer: Status, _ listener: any Channel) {
        self.answer = answer
        self.listener = listener
    }

    static func start(_ status: Int?) async throws -> HealthServer {
        let answer = Status(status)
        let listener = try await ServerBootstrap(group: MultiThreadedEventLoopGroup.singleton)
            .childChannelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    try channel.pipeline.syncOperations.addHandler(Answering { answer.now.withLock { $0 } })
                }
            }
            .bind(host: "127.0.0.1", port: 0)
            .get()
        return HealthServer(answer, listener)
    }

    func become(_ status: Int?) {
        self.answer.now.withLock { $0 = status }
    }

    func stop() async throws {
        try await self.listener.close()
    }
}

private final class Answering: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer
    typealias OutboundOut = ByteBuffer

    private let status: @Sendable () -> Int?

    init(_ status: @escaping @Sendable () -> Int?) {
        self.status = status
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        guard String(buffer: self.unwrapInboundIn(data)).hasPrefix("GET /readyz HTTP/1.1\r\n"),
            let status = self.status()
        else { return }
        let answer = "HTTP/1.1 \(status) Whatever\r\nContent-Length: 0\r\n\r\n"
        context.writeAndFlush(self.wrapOutboundOut(ByteBuffer(string: answer)), promise: nil)
    }
}
