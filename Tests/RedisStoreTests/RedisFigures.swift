import Cloud
import Foundation
import NIOCore
import RedisStore
import Synchronization
import TestServers
import Testing

/// Figures, not a test of anything: printed only when REDIS_FIGURES asks for them with a number of calls.
@Suite("How many calls a second")
struct RedisFigures {
    @Test("Claims and looks, pipelined over one connection")
    func figures() async throws {
        guard let count = ProcessInfo.processInfo.environment["REDIS_FIGURES"].flatMap(Int.init) else { return }
        try await withRoutes(.redis) { bench in
            try await bench.renew()
            let store = bench.store
            let pod = Pod(name: "pod-1", address: "10.0.0.1:8081")
            try await self.measure("claims", count) { index, done in
                store.claim(
                    DeviceID(stored: "device-\(index)"), uid: bench.uid, pod: pod, floor: 0, replacing: nil
                ) { answer in done((try? answer.get()) != nil) }
            }
            try await self.measure("looks", count) { index, done in
                store.find(DeviceID(stored: "device-\(index)")) { answer in done((try? answer.get()) != nil) }
            }
        }
    }

    private final class Tally: Sendable {
        private let count = Mutex(0)

        func next() -> Int {
            self.count.withLock { count in
                count += 1
                return count
            }
        }
    }

    /// Keeps 256 calls open.
    private func measure(
        _ what: String, _ count: Int, _ call: @escaping @Sendable (Int, @escaping @Sendable (Bool) -> Void) -> Void
    ) async throws {
        let next = Tally()
        let failed = Tally()
        let start = ContinuousClock.now
        await withTaskGroup(of: Void.self) { group in
            for _ in 0..<256 {
                group.addTask {
                    while true {
                        let index = next.next()
                        guard index <= count else { return }
                        let isGood = await withCheckedContinuation { continuation in
                            call(index) { continuation.resume(returning: $0) }
                        }
                        if !isGood { _ = failed.next() }
                    }
                }
            }
        }
        let span = ContinuousClock.now - start
        let seconds = Double(span.components.seconds) + Double(span.components.attoseconds) / 1e18
        print("\(what): \(Int(Double(count) / seconds)) a second, \(failed.next() - 1) failed")
    }
}
