import CBOR
import CoAP
import Logging
import NIOCore
import ServiceLifecycle
import ServiceShell
import Synchronization
import Testing

@testable import Registry

@Suite("The dispatcher: where requests cross into tasks")
struct DispatcherTests {
    /// Counts answers; a test waits until there are enough.
    private final class Answers: Sendable {
        private let stream: AsyncStream<Response>
        private let continuation: AsyncStream<Response>.Continuation

        init() {
            (self.stream, self.continuation) = AsyncStream.makeStream()
        }

        var take: @Sendable (Response) -> Void {
            { self.continuation.yield($0) }
        }

        func wait(for count: Int) async -> [Response] {
            var answers: [Response] = []
            for await answer in self.stream {
                answers.append(answer)
                if answers.count == count { break }
            }
            return answers
        }
    }

    /// Holds handlers until it is opened.
    private final class Gate: Sendable {
        private let state = Mutex<(isOpen: Bool, waiting: [CheckedContinuation<Void, Never>])>((false, []))
        private let entered = AsyncStream.makeStream(of: Void.self)

        func pass() async {
            self.entered.continuation.yield()
            await withCheckedContinuation { continuation in
                let isOpen = self.state.withLock { state in
                    if !state.isOpen { state.waiting.append(continuation) }
                    return state.isOpen
                }
                if isOpen { continuation.resume() }
            }
        }

        func waitUntilEntered(_ count: Int) async {
            var entered = 0
            for await _ in self.entered.stream {
                entered += 1
                if entered == count { return }
            }
        }

        func open() {
            let waiting = self.state.withLock { state in
                defer { state = (true, []) }
                return state.waiting
            }
            for continuation in waiting { continuation.resume() }
        }
    }

    @Test("A full queue answers 5.03 with Max-Age at once; what waits is answered later")
    func full() async throws {
        let gate = Gate()
        let answers = Answers()
        let dispatcher = Dispatcher(capacity: 3, workers: 2) { _ in
            await gate.pass()
            return Response(.content)
        }
        await withTaskGroup(of: Void.self) { group in
            group.addTask { await dispatcher.run() }
            for _ in 0..<2 { dispatcher.submit(Request(.get), answer: answers.take) }
            await gate.waitUntilEntered(2)
            for _ in 0..<5 { dispatcher.submit(Request(.get), answer: answers.take) }
            let refused = await answers.wait(for: 2)
            #expect(refused.allSatisfy { $0.code == .serviceUnavailable && $0.options.maxAge == 1 })
            #expect(refused.allSatisfy { $0.options.undelivered == .queueFull })
            gate.open()
            #expect(await answers.wait(for: 5).allSatisfy { $0.code == .content })
            group.cancelAll()
        }
    }

    @Test("What waited past its deadline is 5.03 and `late`, and nobody acts on it")
    func late() async throws {
        let acted = Mutex(0)
        let dispatcher = Dispatcher(capacity: 10, workers: 1) { _ in
            acted.withLock { $0 += 1 }
            return Response(.content)
        }
        let answers = Answers()
        var request = Request(.post)
        request.options.deadlineMilliseconds = 0
        dispatcher.submit(request, answer: answers.take)
        request.options.deadlineMilliseconds = 60_000
        dispatcher.submit(request, answer: answers.take)
        await withTaskGroup(of: Void.self) { group in
            group.addTask { await dispatcher.run() }
            let all = await answers.wait(for: 2)
            #expect(all.map(\.code) == [.serviceUnavailable, .content])
            #expect(all.map(\.options.undelivered) == [.late, nil])
            #expect(acted.withLock { $0 } == 1)
            group.cancelAll()
        }
    }

    @Test("Every request gets exactly one answer, when the dispatcher ends too")
    func exactlyOnce() async throws {
        let gate = Gate()
        let answers = Answers()
        let counts = Mutex([Int](repeating: 0, count: 100))
        let dispatcher = Dispatcher(capacity: 50, workers: 4) { _ in
            await gate.pass()
            return Response(.content)
        }
        await withTaskGroup(of: Void.self) { group in
            group.addTask { await dispatcher.run() }
            for index in 0..<90 {
                dispatcher.submit(Request(.get)) { response in
                    counts.withLock { $0[index] += 1 }
                    answers.take(response)
                }
            }
            await gate.waitUntilEntered(1)
            group.cancelAll()
            gate.open()
        }
        for index in 90..<100 {
            dispatcher.submit(Request(.get)) { response in
                counts.withLock { $0[index] += 1 }
                #expect(response.code == .serviceUnavailable)
                answers.take(response)
            }
        }
        _ = await answers.wait(for: 100)
        #expect(counts.withLock { $0 } == [Int](repeating: 1, count: 100))
    }

    @Test("A graceful shutdown answers what waits and refuses what comes")
    func gracefulShutdown() async throws {
        let gate = Gate()
        let answers = Answers()
        let dispatcher = Dispatcher(capacity: 10, workers: 1) { _ in
            await gate.pass()
            return Response(.content)
        }
        let group = ServiceGroup(
            services: [dispatcher], logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() })
        await withThrowingTaskGroup(of: Void.self) { tasks in
            tasks.addTask { try await group.run() }
            for _ in 0..<3 { dispatcher.submit(Request(.get), answer: answers.take) }
            await gate.waitUntilEntered(1)
            await group.triggerGracefulShutdown()
            // The trigger may reach the dispatcher a little later than it returns: ask until it refuses.
            var extra = 0
            let refused = Mutex(false)
            while !refused.withLock({ $0 }) {
                extra += 1
                dispatcher.submit(Request(.get)) { response in
                    if response.diagnostic?.contains("shutting down") == true { refused.withLock { $0 = true } }
                    answers.take(response)
                }
                await Task.yield()
            }
            gate.open()
            let all = await answers.wait(for: 3 + extra)
            #expect(all.filter { $0.code == .content }.count >= 3)
        }
    }
}

@Suite("The registry's metrics")
struct RegistryMetricsTests {
    @Test("Requests are counted by resource and code, and timed by resource")
    func exposition() {
        let registry = MetricsRegistry()
        let metrics = RegistryMetrics(factory: registry)
        metrics.record(resource: "oic/rd", code: .changed, duration: .milliseconds(3))
        metrics.record(resource: "oic/rd", code: .changed, duration: .milliseconds(3))
        metrics.record(resource: "oic/rd", code: .notFound, duration: .milliseconds(3))
        let lines = registry.exposition().split(separator: "\n")
        func value(_ name: String, _ labels: String...) -> Substring? {
            lines.first { line in line.hasPrefix(name) && labels.allSatisfy { line.contains($0) } }?
                .split(separator: " ").last
        }
        #expect(value("registry_requests", "oic/rd", "2.04") == "2")
        #expect(value("registry_requests", "oic/rd", "4.04") == "1")
        #expect(
            lines.contains { $0.hasPrefix("registry_query_duration") && $0.contains("_count") && $0.hasSuffix(" 3") })
    }
}
