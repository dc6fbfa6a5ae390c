import CoAP
import Hop
import NIOCore
import NIOPosix
import TestSupport
import Testing

/// Bodies above 16 KiB cross between our own programs in blocks (RFC 8323 §6), and nobody behind the transport notices.
@Suite("Large bodies between our own programs", .timeLimit(.minutes(4)))
struct HopBlockTests {
    /// For much at one time, on a machine that has little of it.
    static var patient: HopLimits {
        var limits = HopLimits()
        limits.defaultDeadline = .seconds(100)
        return limits
    }

    static func body(_ count: Int) -> ByteBuffer {
        ByteBuffer(bytes: (0..<count).map { UInt8(truncatingIfNeeded: $0 &* 31 ^ $0 >> 8) })
    }

    @Test("Bodies of any size cross both ways, with the options of the request and nothing added")
    func bothWays() async throws {
        let server = try await HopServer.bind { request, answer in
            var response = Response(.content, payload: request.payload)
            response.options.append(.eTag, bytes: [1, 2])
            response.options.requestID = request.options.requestID
            answer(response)
        }
        let pool = try HopBench.pool()
        try await HopBench.with(server, pool) {
            for count in [0, 16 << 10, 16 << 10 | 1, 100_000, 1 << 20] {
                var request = Request(.post, path: ["x"], payload: Self.body(count))
                request.options.requestID = "r-1"
                let answer = await pool.send(request, to: server.target())
                #expect(answer.code == .content)
                #expect(answer.payload == (count > 0 ? Self.body(count) : nil))
                #expect(answer.options.first(.eTag)?.bytes == [1, 2])
                #expect(answer.options.requestID == "r-1")
                #expect(answer.options.count == 2)
            }
            #expect(server.asked == 5)
        }
    }

    @Test("A small request overtakes a large one; the large one arrives whole, with fence and what is left of its time")
    func overtaking() async throws {
        let group = MultiThreadedEventLoopGroup(numberOfThreads: 1)
        let server = try await HopServer.bind()
        let pool = try HopBench.pool(on: group)
        try await HopBench.with(server, pool) {
            let answers = Answers()
            // The connection is there.
            answers.send(0, .hop(), to: server.target(), over: pool)
            try await server.next().answer(Response(.content))
            var large = Request.hop(.post, milliseconds: 30_000, bytes: 1 << 20)
            large.options.fence = Fence(epoch: 4, uid: "u-1")
            answers.send(1, large, to: server.target(), over: pool)
            answers.send(2, .hop(.get, "small"), to: server.target(), over: pool)
            let first = try await server.next()
            #expect(first.request.options.path == ["small"])
            let second = try await server.next()
            #expect(second.request.payload?.readableBytes == 1 << 20)
            #expect(second.request.options.fence == Fence(epoch: 4, uid: "u-1"))
            let left = try #require(second.request.options.deadlineMilliseconds)
            #expect(left > 0 && left <= 30_000)
            #expect(!second.request.options.contains { [.block1, .size1, .requestTag].contains($0.number) })
            first.answer(Response(.content))
            second.answer(Response(.content, payload: Self.body(1 << 20)))
            try await answers.wait(for: 3)
            #expect(answers.isOnceEach)
        }
        try await group.shutdownGracefully()
    }

    @Test("A hundred large requests to one resource at one time do not mix, and the window counts each once")
    func parallel() async throws {
        var limits = HopLimits()
        limits.window = HopWindow(requests: 100, bytes: 100 * 101_000)
        let server = try await HopServer.bind(limits: limits) { request, answer in
            answer(Response(.content, payload: request.payload))
        }
        let group = MultiThreadedEventLoopGroup(numberOfThreads: 1)
        let pool = try HopBench.pool(on: group, limits: Self.patient)
        try await HopBench.with(server, pool) {
            // The connection is there: what waits for it has a smaller bound.
            #expect(await pool.send(.hop(), to: server.target()).code == .content)
            try await withThrowingTaskGroup(of: Void.self) { tasks in
                for index in 0..<100 {
                    tasks.addTask {
                        let payload = ByteBuffer(repeating: UInt8(index), count: 100_000)
                        let request = Request(.post, path: ["x"], payload: payload)
                        #expect(await pool.send(request, to: server.target()).payload == payload)
                    }
                }
                try await tasks.waitForAll()
            }
            #expect(server.asked == 101)
        }
        try await group.shutdownGracefully()
    }

    @Test("RFC 8323 §5.5: connections released midway: uploads and questions go on over the next, and none fails")
    func rollover() async throws {
        var limits = HopLimits()
        limits.maximumAge = .milliseconds(300)
        let log = CountingLog()
        let large = ByteBuffer(repeating: 5, count: 60_000)
        let server = try await HopServer.bind(limits: limits, logger: log.logger) { request, answer in
            answer(Response(.content, payload: request.method == .get ? large : ByteBuffer(integer: 1)))
        }
        let pool = try HopBench.pool(limits: Self.patient)
        try await HopBench.with(server, pool) {
            let target = server.target()
            let sizes = await withTaskGroup(of: [Int].self) { tasks in
                for worker in 0..<8 {
                    tasks.addTask {
                        var sizes: [Int] = []
                        let end = ContinuousClock.now + .seconds(40)
                        while log.count(of: "connection between programs accepted") < 8, ContinuousClock.now < end {
                            let request =
                                worker.isMultiple(of: 2) ? Request.hop() : Request.hop(.post, bytes: 60_000)
                            let answer = await pool.send(request, to: target)
                            sizes.append(answer.code == .content ? answer.payload?.readableBytes ?? 0 : -1)
                        }
                        return sizes
                    }
                }
                return await tasks.reduce(into: Set<Int>()) { $0.formUnion($1) }
            }
            #expect(sizes == [8, 60_000])
            #expect(log.count(of: "connection between programs accepted") >= 8)
        }
    }

    @Test("A body above what the other program takes is undelivered, too large, and not sent again")
    func tooLarge() async throws {
        var small = HopLimits()
        small.maximumMessageSize = 64 << 10
        let server = try await HopServer.bind(limits: small)
        let pool = try HopBench.pool()
        try await HopBench.with(server, pool) {
            let answer = await pool.send(.hop(.post, bytes: 100_000), to: server.target())
            #expect(answer.code == .requestEntityTooLarge)
            #expect(answer.options.undelivered == .tooLarge)
            #expect(server.asked == 0)
        }
    }

    @Test("Blocks before the proof end the connection like any other request")
    func stranger() async throws {
        let server = try await HopServer.bind()
        let peer = try await server.peer()
        var request = Request(.post, path: ["hop", "proof"], payload: Self.body(16))
        request.options.block1 = BlockOption(number: 0, more: true, sizeExponent: 0)
        try await peer.start(request)
        try await peer.receiveAbort()
        await server.listener.stop()
    }
}
