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

    /// Keeps 256 calls open.
    private func measure(
        _ what: String, _ count: Int, _ call: @escaping @Sendable (Int, @escaping @Sendable (Bool) -> Void) -> Void
    ) async throws {
        let next = Mutex(0)
        let failed = Mutex(0)
        let start = ContinuousClock.now
        await withTaskGroup(of: Void.self) { group in
            for _ in 0..<256 {
                group.addTask {
                    while true {
                        let index = next.withLock { next -> Int in
                            next += 1
                            return next
                        }
                        guard index <= count else { return }
                        let isGood = await withCheckedContinuation { continuation in
                            call(index) { continuation.resume(returning: $0) }
                        }
                        if !isGood { failed.withLock { $0 += 1 } }
                    }
                }
            }
        }
        let span = ContinuousClock.now - start
        let seconds = Double(span.components.seconds) + Double(span.components.attoseconds) / 1e18
        print("\(what): \(Int(Double(count) / seconds)) a second, \(failed.withLock { $0 }) failed")
    }
}
