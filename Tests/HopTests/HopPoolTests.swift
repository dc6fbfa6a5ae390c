import Cloud
import CoAP
import CoAPTransport
import Hop
import Logging
import NIOCore
import NIOPosix
import Synchronization
import TestSupport
import Testing

@Suite("Requests between our own programs", .timeLimit(.minutes(1)))
struct HopPoolTests {
    private static let echo: HopServer.Handling = { request, answer in
        answer(Response(.content, options: request.options, payload: request.payload))
    }

    @Test("A request arrives with its internal options and the time that is left")
    func arrives() async throws {
        let server = try await HopServer.bind()
        let pool = try HopBench.pool()
        try await HopBench.with(server, pool) {
            var request = Request.hop(.post, milliseconds: 5000, bytes: 300_000)
            request.options.fence = Fence(epoch: 3, uid: "u")
            request.options.requestID = "r-1"
            let sent = request
            async let answer = pool.send(sent, to: server.target())
            let asked = try await server.next()
            #expect(asked.request.options.fence == request.options.fence)
            #expect(asked.request.options.requestID == "r-1")
            #expect(asked.request.payload == request.payload)
            #expect((1...5000).contains(asked.request.options.deadlineMilliseconds ?? 0))
            var response = Response(.serviceUnavailable)
            response.options.undelivered = .noSession
            asked.answer(response)
            #expect(await answer == response)
        }
    }

    @Test("A thousand requests at one time share one connection, and each gets its own answer")
    func multiplexed() async throws {
        let held = Mutex<[(Request, HopServer.Answer)]>([])
        let server = try await HopServer.bind { request, answer in
            let all = held.withLock { held in
                held.append((request, answer))
                return held.count == 1000 ? held : []
            }
            // Nobody is answered before all are there, and the last comes first.
            for (request, answer) in all.reversed() { answer(Response(.content, payload: request.payload)) }
        }
        let group = MultiThreadedEventLoopGroup(numberOfThreads: 1)
        let pool = try HopBench.pool(on: group)
        try await HopBench.with(server, pool) {
            let target = server.target()
            let right = await withTaskGroup(of: Bool.self) { tasks in
                for index in 0..<1000 {
                    tasks.addTask {
                        let request = Request(.post, path: ["x"], payload: ByteBuffer(integer: index))
                        return await pool.send(request, to: target).payload == request.payload
                    }
                }
                return await tasks.reduce(0) { $0 + ($1 ? 1 : 0) }
            }
            #expect(right == 1000)
            #expect(server.listener.connectionCount == 1)
            #expect(await pool.connectionCount() == 1)
        }
        try await group.shutdownGracefully()
    }

    @Test("Above the acceptor's window a request is queue-full at once, on this side already")
    func window() async throws {
        var limits = HopLimits()
        limits.window = HopWindow(requests: 2, bytes: 1 << 20)
        let server = try await HopServer.bind(limits: limits)
        let group = MultiThreadedEventLoopGroup(numberOfThreads: 1)
        let pool = try HopBench.pool(on: group)
        try await HopBench.with(server, pool) {
            let answers = Answers()
            for index in 0..<2 { answers.send(index, .hop(), to: server.target(), over: pool) }
            let held = [try await server.next(), try await server.next()]
            let refused = await pool.send(.hop(), to: server.target())
            #expect(refused.code == .serviceUnavailable)
            #expect(refused.options.undelivered == .queueFull)
            #expect(server.asked == 2)
            held.forEach { $0.answer(Response(.content)) }
            try await answers.wait(for: 2)
        }
        try await group.shutdownGracefully()
    }

    @Test("A pod that is not the one meant is unreachable, and sees no request")
    func wrongName() async throws {
        let server = try await HopServer.bind(name: "pod-1.second-boot")
        let pool = try HopBench.pool()
        try await HopBench.with(server, pool) {
            let answer = await pool.send(.hop(), to: server.target("pod-1.first-boot"))
            #expect(answer.code == .serviceUnavailable)
            #expect(answer.options.undelivered == .unreachable)
            #expect(answer.diagnostic?.contains("not the one meant") == true)
            #expect(server.asked == 0)
        }
    }

    @Test("Where nobody listens a request is unreachable, the next at once, and after the back-off it is tried again")
    func refused() async throws {
        var limits = HopLimits()
        limits.firstBackOff = .seconds(3)
        let first = try await HopServer.bind()
        let port = first.listener.port
        await first.listener.stop()
        let target = HopTarget(host: "127.0.0.1", port: port, name: "pod-1.boot")
        let group = MultiThreadedEventLoopGroup(numberOfThreads: 1)
        let pool = try HopBench.pool(on: group, limits: limits)
        let answer = await pool.send(.hop(), to: target)
        #expect(answer.options.undelivered == .unreachable)
        #expect(answer.diagnostic?.contains("refused") == true)
        #expect(await pool.send(.hop(), to: target).diagnostic?.contains("just now") == true)
        let server = try await HopServer.bind(port: port, handling: Self.echo)
        try await HopBench.with(server, pool) {
            try await eventually("an answer") { await pool.send(.hop(), to: target).code == .content }
        }
        try await group.shutdownGracefully()
    }

    @Test("An idle connection is closed, and the next request opens another")
    func idle() async throws {
        var limits = HopLimits()
        limits.idle = .milliseconds(100)
        let server = try await HopServer.bind(handling: Self.echo)
        let pool = try HopBench.pool(limits: limits)
        try await HopBench.with(server, pool) {
            for _ in 0..<2 {
                #expect(await pool.send(.hop(), to: server.target()).code == .content)
                try await eventually("the close") { server.listener.connectionCount == 0 }
            }
        }
    }

    @Test("More targets than allowed: the idlest is given up, and a busy one is not")
    func targets() async throws {
        var limits = HopLimits()
        limits.maximumTargets = 1
        let first = try await HopServer.bind()
        let second = try await HopServer.bind(handling: Self.echo)
        let group = MultiThreadedEventLoopGroup(numberOfThreads: 1)
        let pool = try HopBench.pool(on: group, limits: limits)
        try await HopBench.with(first, pool) {
            async let busy = pool.send(.hop(), to: first.target())
            let asked = try await first.next()
            #expect(await pool.send(.hop(), to: second.target()).options.undelivered == .unreachable)
            asked.answer(Response(.content))
            #expect(await busy.code == .content)
            #expect(await pool.send(.hop(), to: second.target()).code == .content)
            try await eventually("the close") { first.listener.connectionCount == 0 }
        }
        await second.listener.stop()
        try await group.shutdownGracefully()
    }

    @Test("No answer in time is unknown, and before the connection was open it is late")
    func deadlines() async throws {
        let server = try await HopServer.bind()
        let group = MultiThreadedEventLoopGroup(numberOfThreads: 1)
        let pool = try HopBench.pool(on: group)
        try await HopBench.with(server, pool) {
            // Its time begins to count when the connection is open.
            async let first = pool.send(.hop(), to: server.target())
            try await server.next().answer(Response(.content))
            _ = await first
            let unanswered = await pool.send(.hop(milliseconds: 1000), to: server.target())
            #expect(unanswered.code == .gatewayTimeout)
            #expect(unanswered.options.unknownOutcome == .noAnswer)
            #expect(await pool.send(.hop(milliseconds: 0), to: server.target()).options.undelivered == .late)
            // Somebody who accepts and says nothing.
            let mute = try await CoAPListener.bind(
                host: "127.0.0.1", port: 0, group: MultiThreadedEventLoopGroup.singleton,
                configuration: ConnectionConfiguration(), maximumConnections: 10, logger: HopBench.logger
            ) { Mute() }
            let target = HopTarget(host: "127.0.0.1", port: mute.port, name: "pod-1.boot")
            let late = await pool.send(.hop(milliseconds: 300), to: target)
            #expect(late.code == .gatewayTimeout)
            #expect(late.options.undelivered == .late)
            await mute.stopAccepting()
            mute.closeAll(reason: "done")
        }
        try await group.shutdownGracefully()
    }

    private final class Mute: ConnectionDelegate {
        func connectionOpened(_ connection: CoAPConnection) {}
        func connectionReceived(_ request: Request, id: IncomingID) {}
        func connectionReleased(to alternativeAddresses: [String]) {}
        func connectionIgnored(_ message: IgnoredMessage) {}
        func connectionEnded(_ end: ConnectionEnd) {}
    }

    @Test("A peer that no longer answers Pings is given up, and what it had is unknown")
    func keepalive() async throws {
        var limits = HopLimits()
        limits.keepalive = .init(time: .milliseconds(100), interval: .milliseconds(100), retry: 2)
        // It proves itself, and then its process stands still.
        let frozen = FreezingServer()
        let listener = try await frozen.bind(secrets: .of(1), freezeAt: 1)
        let pool = try HopBench.pool(limits: limits)
        let target = HopTarget(host: "127.0.0.1", port: listener.port, name: "pod-1.boot")
        let answer = await pool.send(.hop(), to: target)
        #expect(answer.code == .badGateway)
        #expect(answer.options.unknownOutcome == .connectionLost)
        pool.shutDown()
        await listener.stopAccepting()
        listener.closeAll(reason: "done")
    }

    @Test(
        "A peer that dies with requests in flight: each ends once, unknown if its last byte went out, else undelivered")
    func killed() async throws {
        let frozen = FreezingServer()
        let listener = try await frozen.bind(secrets: .of(1), freezeAt: 1)
        let group = MultiThreadedEventLoopGroup(numberOfThreads: 1)
        // In one message each, so that they fill the buffers of the system.
        var limits = HopLimits()
        limits.blockThreshold = .max
        let pool = try HopBench.pool(on: group, limits: limits)
        let target = HopTarget(host: "127.0.0.1", port: listener.port, name: "pod-1.boot")
        let answers = Answers()
        answers.send(0, .hop(), to: target, over: pool)
        try await eventually("the freeze") { frozen.isFrozen }
        // More than the buffers of the system hold, less than the window.
        for index in 1...60 { answers.send(index, .hop(.post, bytes: 250_000), to: target, over: pool) }
        // One turn of the loop later all have been given to the socket, as far as it took them.
        _ = await pool.connectionCount()
        #expect(answers.responses.isEmpty)
        frozen.kill()
        try await answers.wait(for: 61)
        #expect(answers.isOnceEach)
        #expect(answers.count(.connectionLost) >= 2)
        #expect(answers.count(.unreachable) >= 1)
        #expect(answers.count(.connectionLost) + answers.count(.unreachable) == 61)
        pool.shutDown()
        await listener.stopAccepting()
        listener.closeAll(reason: "done")
        try await group.shutdownGracefully()
    }

    @Test("What waits in the socket when its time is over is unknown: the peer may still take its bytes")
    func stalled() async throws {
        let frozen = FreezingServer()
        let listener = try await frozen.bind(secrets: .of(1), freezeAt: 1)
        let group = MultiThreadedEventLoopGroup(numberOfThreads: 1)
        // In one message each, so that they fill the buffers of the system.
        var limits = HopLimits()
        limits.blockThreshold = .max
        let pool = try HopBench.pool(on: group, limits: limits)
        let target = HopTarget(host: "127.0.0.1", port: listener.port, name: "pod-1.boot")
        let answers = Answers()
        answers.send(0, .hop(), to: target, over: pool)
        try await eventually("the freeze") { frozen.isFrozen }
        for index in 1...60 {
            answers.send(index, .hop(.post, milliseconds: 1500, bytes: 250_000), to: target, over: pool)
        }
        try await answers.wait(for: 60)
        #expect(answers.isOnceEach)
        #expect(answers.count(.noAnswer) == 60)
        pool.shutDown()
        await listener.stopAccepting()
        listener.closeAll(reason: "done")
        try await group.shutdownGracefully()
    }

    @Test("Closing everything ends what is in flight as unknown, and the next request opens a new connection")
    func closeAll() async throws {
        let server = try await HopServer.bind()
        let pool = try HopBench.pool()
        try await HopBench.with(server, pool) {
            async let first = pool.send(.hop(), to: server.target())
            _ = try await server.next()
            pool.closeAll(reason: "this process slept")
            #expect(await first.options.unknownOutcome == .connectionLost)
            async let second = pool.send(.hop(), to: server.target())
            try await server.next().answer(Response(.content))
            #expect(await second.code == .content)
            // The acceptor may do the same.
            async let third = pool.send(.hop(), to: server.target())
            _ = try await server.next()
            server.listener.closeAll(reason: "this process slept")
            #expect(await third.options.unknownOutcome == .connectionLost)
        }
    }

    @Test("After the pool is shut down every request is answered as unreachable")
    func shutDown() async throws {
        let server = try await HopServer.bind(handling: Self.echo)
        let pool = try HopBench.pool()
        try await HopBench.with(server, pool) {
            #expect(await pool.send(.hop(), to: server.target()).code == .content)
            pool.shutDown()
            #expect(await pool.send(.hop(), to: server.target()).options.undelivered == .unreachable)
        }
    }

    private static let accepted = "connection between programs accepted"

    @Test("RFC 8323 §5.5: connections released under load are replaced without one failed request")
    func rollover() async throws {
        var limits = HopLimits()
        limits.maximumAge = .milliseconds(40)
        let log = CountingLog()
        let server = try await HopServer.bind(limits: limits, logger: log.logger) { request, answer in
            // Some answers are under way when their connection is released.
            if request.payload == nil {
                answer(Response(.content))
            } else {
                MultiThreadedEventLoopGroup.singleton.next().scheduleTask(in: .milliseconds(30)) {
                    answer(Response(.content))
                }
            }
        }
        let pool = try HopBench.pool()
        try await HopBench.with(server, pool) {
            let target = server.target()
            let codes = await withTaskGroup(of: [Code].self) { tasks in
                for worker in 0..<16 {
                    tasks.addTask {
                        var codes: [Code] = []
                        let end = ContinuousClock.now + .seconds(20)
                        while log.count(of: Self.accepted) < 12, ContinuousClock.now < end {
                            codes.append(await pool.send(.hop(.post, bytes: worker % 4), to: target).code)
                        }
                        return codes
                    }
                }
                return await tasks.reduce(into: [Code: Int]()) { counts, codes in
                    for code in codes { counts[code, default: 0] += 1 }
                }
            }
            #expect(codes.keys.sorted { $0.rawValue < $1.rawValue } == [.content])
            #expect(log.count(of: Self.accepted) >= 12)
        }
    }

    @Test("While the secret is replaced, old and new programs reach each other")
    func rotation() async throws {
        let server = try await HopServer.bind(secrets: .of(2, previous: 1), handling: Self.echo)
        for secrets in [try ClusterSecrets.of(1), try .of(2), try .of(1, previous: 2)] {
            let pool = try HopBench.pool(secrets: secrets)
            #expect(await pool.send(.hop(), to: server.target()).code == .content)
            pool.shutDown()
        }
        await server.listener.stop()
    }

    @Test(
        "An address with its port, and what is none",
        arguments: [
            ("10.0.0.7:8081", "10.0.0.7", 8081), ("[fd00::7]:8081", "fd00::7", 8081), ("pod:1", "pod", 1),
            ("[fe80::1%eth0]:5", "fe80::1%eth0", 5),
        ])
    func address(text: String, host: String, port: Int) {
        let target = HopTarget(address: text, name: "n")
        #expect(target?.host == host)
        #expect(target?.port == port)
        #expect(target?.description == text)
    }

    @Test(
        "What is no address is refused",
        arguments: ["", ":1", "host", "host:0", "host:65536", "fd00::7:1", "[fd00::7:1"])
    func noAddress(text: String) {
        #expect(HopTarget(address: text, name: "n") == nil)
    }
}
