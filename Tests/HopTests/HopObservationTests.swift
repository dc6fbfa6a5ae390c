import CoAP
import NIOCore
import TestSupport
import Testing

@testable import Hop

@Suite("Observations between our own programs", .timeLimit(.minutes(2)))
struct HopObservationTests {
    private static func observe(
        _ pool: HopPool, _ target: HopTarget, _ path: String = "x", milliseconds: UInt32? = nil
    ) -> (log: ObservationLog<ObservationEvent>, handle: ObservationHandle) {
        let log = ObservationLog<ObservationEvent>()
        var request = Request.observing(path)
        request.options.deadlineMilliseconds = milliseconds
        return (log, pool.observe(request, at: target) { log.append($0) })
    }

    private static func with(
        limits: HopLimits = HopLimits(),
        _ body: (ScriptedResource, HopServer, HopPool) async throws -> Void
    ) async throws {
        let resource = ScriptedResource()
        let server = try await HopServer.bind(limits: limits, resource: resource) { _, answer in
            answer(.text("plain"))
        }
        let pool = try HopBench.pool(limits: limits)
        try await HopBench.with(server, pool) { try await body(resource, server, pool) }
    }

    /// Why an observation ended, as its next event.
    private static func end(_ log: ObservationLog<ObservationEvent>) async throws -> Response {
        let event = try await log.next()
        guard case .ended(let response) = event else { throw PeerError("\(event) where the end was expected") }
        return response
    }

    private static func expect(_ text: String, _ log: ObservationLog<ObservationEvent>) async throws {
        let event = try await log.next()
        guard case .notified(let response) = event else { throw PeerError("\(event) instead of \(text)") }
        #expect(response.payload == ByteBuffer(string: text))
    }

    @Test("An observation is told what there is, in order, until nobody wants it any more")
    func observes() async throws {
        try await Self.with { resource, server, pool in
            let (log, handle) = Self.observe(pool, server.target(), milliseconds: 20_000)
            let observer = try await resource.observer()
            #expect(observer.request.options.deadlineMilliseconds != nil)
            for text in ["first", "1", "2", "3"] { observer.notify(text) }
            for text in ["first", "1", "2", "3"] { try await Self.expect(text, log) }
            handle.cancel()
            try await resource.cancellation()
            observer.notify("late")
            _ = await pool.send(.hop(), to: server.target())
            #expect(log.count == 4)
            // The cancellation itself is answered by the connection: nobody is asked for an answer nobody wants.
            #expect(server.asked == 1)
        }
    }

    @Test("RFC 7959 §2.6: notifications above 16 KiB arrive whole and in order, the first and the end included")
    func large() async throws {
        try await Self.with { resource, server, pool in
            let (log, _) = Self.observe(pool, server.target(), milliseconds: 20_000)
            let observer = try await resource.observer()
            for size in [100_000, 40_000, 3] {
                let text = String(repeating: "\(size) ", count: size / 3)
                observer.notify(text)
                try await Self.expect(text, log)
            }
            let last = String(repeating: "end ", count: 20_000)
            observer.end(.text(last))
            #expect(try await Self.end(log) == .text(last))
            #expect(log.count == 4)
            #expect(server.asked == 0)
        }
    }

    @Test("RFC 7641 §4.1: what cannot be observed ends with its plain answer")
    func notObservable() async throws {
        let server = try await HopServer.bind { _, answer in answer(.text("plain")) }
        let pool = try HopBench.pool()
        try await HopBench.with(server, pool) {
            let (log, handle) = Self.observe(pool, server.target())
            let plain = try await Self.end(log)
            #expect(plain == .text("plain"))
            handle.cancel()
        }
    }

    @Test("The other side ends an observation with whatever it says last, internal options included")
    func ended() async throws {
        try await Self.with { resource, server, pool in
            let (log, _) = Self.observe(pool, server.target())
            let observer = try await resource.observer()
            observer.notify("first")
            try await Self.expect("first", log)
            observer.end(HopOutcome.unreachable("the device has gone").response)
            #expect(try await Self.end(log).options.undelivered == .unreachable)
            #expect(resource.cancelled == 0)
        }
    }

    @Test("An observation that cannot begin ends with the same answers a request gets")
    func failures() async throws {
        let pool = try HopBench.pool()
        let nobody = HopTarget(host: "127.0.0.1", port: 1, name: "pod-1.boot")
        #expect(try await Self.end(Self.observe(pool, nobody).log).options.undelivered == .unreachable)
        pool.shutDown()
        #expect(try await Self.end(Self.observe(pool, nobody).log).options.undelivered == .unreachable)
        try await Self.with { resource, server, pool in
            let tooLate = Self.observe(pool, server.target(), milliseconds: 0)
            #expect(try await Self.end(tooLate.log).options.undelivered == .late)
            // No first answer in time: the other side is told that nobody waits any more.
            let late = Self.observe(pool, server.target(), milliseconds: 3000)
            let observer = try await resource.observer()
            #expect(try await Self.end(late.log).options.unknownOutcome == .noAnswer)
            observer.notify("late")
            try await resource.cancellation()
            #expect(late.log.count == 1)
        }
    }

    @Test("An observation cancelled before the connection is there is never begun")
    func cancelWaiting() async throws {
        try await Self.with { resource, server, pool in
            let (log, handle) = Self.observe(pool, server.target())
            handle.cancel()
            handle.cancel()
            let other = Self.observe(pool, server.target(), "other")
            let observer = try await resource.observer()
            #expect(observer.request.options.path == ["other"])
            observer.notify("first")
            try await Self.expect("first", other.log)
            #expect(log.count == 0)
            #expect(resource.cancelled == 0)
        }
    }

    @Test("Until its first answer an observation takes a place in the window, and none afterwards")
    func window() async throws {
        var limits = HopLimits()
        limits.window = HopWindow(requests: 1, bytes: 1 << 20)
        let resource = ScriptedResource()
        let server = try await HopServer.bind(limits: limits, resource: resource) { _, answer in
            answer(.text("plain"))
        }
        let pool = try HopBench.pool(on: HopBench.oneLoop, limits: limits)
        try await HopBench.with(server, pool) {
            var logs: [ObservationLog<ObservationEvent>] = []
            for _ in 0..<5 {
                let log = Self.observe(pool, server.target()).log
                let observer = try await resource.observer()
                #expect(await pool.send(.hop(), to: server.target()).options.undelivered == .queueFull)
                observer.notify("first")
                try await Self.expect("first", log)
                #expect(await pool.send(.hop(), to: server.target()).code == .content)
                logs.append(log)
            }
            // One that is cancelled early gives its place back, too.
            let early = Self.observe(pool, server.target())
            let observer = try await resource.observer()
            early.handle.cancel()
            observer.notify("first")
            try await resource.cancellation()
            #expect(await pool.send(.hop(), to: server.target()).code == .content)
            #expect(logs.allSatisfy { $0.count == 1 })
        }
    }

    @Test("Observations have a bound of their own on a connection")
    func bounded() async throws {
        var limits = HopLimits()
        limits.maximumObservations = 2
        let resource = ScriptedResource()
        let server = try await HopServer.bind(resource: resource)
        let pool = try HopBench.pool(on: HopBench.oneLoop, limits: limits)
        try await HopBench.with(server, pool) {
            var handles: [ObservationHandle] = []
            for _ in 0..<2 {
                let (log, handle) = Self.observe(pool, server.target())
                try await resource.observer().notify("first")
                try await Self.expect("first", log)
                handles.append(handle)
            }
            #expect(try await Self.end(Self.observe(pool, server.target()).log).options.undelivered == .queueFull)
            handles[0].cancel()
            try await resource.cancellation()
            let (log, _) = Self.observe(pool, server.target())
            try await resource.observer().notify("again")
            try await Self.expect("again", log)
        }
    }

    @Test("A connection over which something is observed is not idle, and is once nothing is any more")
    func idle() async throws {
        var limits = HopLimits()
        limits.idle = .milliseconds(400)
        try await Self.with(limits: limits) { resource, server, pool in
            let (log, handle) = Self.observe(pool, server.target())
            let observer = try await resource.observer()
            observer.notify("first")
            try await Self.expect("first", log)
            // A connection to another name of the same program comes and goes as idle meanwhile.
            let other = HopTarget(host: "localhost", port: server.listener.port, name: "pod-1.boot")
            _ = await pool.send(.hop(), to: other)
            try await eventually("one connection") { await pool.connectionCount() == 1 }
            observer.notify("still there")
            try await Self.expect("still there", log)
            handle.cancel()
            try await resource.cancellation()
            try await eventually("no connection") { await pool.connectionCount() == 0 }
        }
    }

    @Test("When the other side drains, what is observed ends as moving, and can begin again on a new connection")
    func drained() async throws {
        var limits = HopLimits()
        limits.maximumAge = .milliseconds(1500)
        try await Self.with(limits: limits) { resource, server, pool in
            for _ in 0..<2 {
                let (log, _) = Self.observe(pool, server.target())
                let observer = try await resource.observer()
                observer.notify("first")
                try await Self.expect("first", log)
                #expect(try await Self.end(log).options.undelivered == .moving)
                try await resource.cancellation()
                #expect(log.count == 2)
            }
        }
    }

    @Test("A registration that waits for its answer when the other side drains gets it, and then ends as moving")
    func drainedBeforeAnswer() async throws {
        var limits = HopLimits()
        limits.maximumAge = .milliseconds(1500)
        try await Self.with(limits: limits) { resource, server, pool in
            let (log, _) = Self.observe(pool, server.target(), milliseconds: 20_000)
            let observer = try await resource.observer()
            // The connection has been left once another takes its place.
            try await eventually("another connection") {
                _ = await pool.send(.hop(), to: server.target())
                return server.listener.connectionCount > 1
            }
            observer.notify("first")
            try await Self.expect("first", log)
            #expect(try await Self.end(log).options.undelivered == .moving)
            try await resource.cancellation()
        }
    }

    @Test("When the connection is lost nobody knows what was missed")
    func lost() async throws {
        try await Self.with { resource, server, pool in
            let (log, _) = Self.observe(pool, server.target())
            let observer = try await resource.observer()
            observer.notify("first")
            try await Self.expect("first", log)
            server.listener.closeAll(reason: "test")
            #expect(try await Self.end(log).options.unknownOutcome == .connectionLost)
            try await resource.cancellation()
            #expect(log.count == 2)
        }
    }

    @Test("Whoever observes and is gone has cancelled")
    func observerGone() async throws {
        try await Self.with { resource, server, pool in
            for answered in [true, false] {
                let log = Self.observe(pool, server.target()).log
                let observer = try await resource.observer()
                if answered {
                    observer.notify("first")
                    try await Self.expect("first", log)
                }
                pool.closeAll(reason: "test")
                _ = try await Self.end(log)
                try await resource.cancellation()
            }
        }
    }
}
