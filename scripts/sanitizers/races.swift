// What scripts/test-sanitized asks ThreadSanitizer before it trusts it: `guarded` and `continued` are no races, and
// `planted` is one.
import Dispatch
import Synchronization

final class Guarded: Sendable {
    let sums = Mutex<[Int: Int]>([:])
}

final class Planted: @unchecked Sendable {
    var sum = 0
    let other = Mutex(0)
}

let guarded = Guarded()
let planted = Planted()
let wanted = CommandLine.arguments.dropFirst().first ?? "guarded"

/// What one thread makes and a task reads: nothing but the continuation orders that.
final class Parcel {
    var contents: [Int]

    init(_ contents: [Int]) {
        self.contents = contents
    }
}

/// Whom a parcel is for.
final class Counter: Sendable {
    let waiting = Mutex<[CheckedContinuation<Parcel, Never>]>([])
    let isClosed = Mutex(false)

    /// What is in the next parcel.
    func contents() async -> Int {
        // Read here, since going on elsewhere is an order already.
        let parcel = await withCheckedContinuation { continuation in
            self.waiting.withLock { $0.append(continuation) }
            // Between handing it over and the wait, without a lock: so that each of the orders comes about.
            for _ in 0..<Int.random(in: 0..<100) { _ = Int.random(in: 0..<100) }
        }
        return parcel.contents[0]
    }

    /// Until nobody will wait any more.
    func serve() {
        var number = 0
        while !self.isClosed.withLock({ $0 }) {
            guard let next = self.waiting.withLock({ $0.popLast() }) else { continue }
            number += 1
            next.resume(returning: Parcel([number]))
        }
    }
}

// Long enough inside that others have to wait: only then the library's part of the lock is run.
func count() {
    DispatchQueue.concurrentPerform(iterations: 8) { worker in
        for round in 0..<20_000 {
            if wanted == "planted" {
                planted.sum += 1
                // A lock that is left before does not make it right.
                planted.other.withLock { $0 += 1 }
            } else {
                guarded.sums.withLock { sums in
                    for key in 0..<4 { sums[(round + key) % 64, default: 0] += worker }
                }
            }
        }
    }
    print(wanted == "planted" ? planted.sum : guarded.sums.withLock { $0.count })
}

if wanted == "continued" {
    let counter = Counter()
    let served = DispatchSemaphore(value: 0)
    DispatchQueue.global().async {
        counter.serve()
        served.signal()
    }
    var sum = 0
    for _ in 0..<5000 { sum += await counter.contents() }
    counter.isClosed.withLock { $0 = true }
    print(sum)
} else {
    count()
}
