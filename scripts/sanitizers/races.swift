// What scripts/test-sanitized asks ThreadSanitizer before it trusts it: `guarded` is no race, and `planted` is one.
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
let wantsRace = CommandLine.arguments.dropFirst().first == "planted"

// Long enough inside that others have to wait: only then the library's part of the lock is run.
DispatchQueue.concurrentPerform(iterations: 8) { worker in
    for round in 0..<20_000 {
        if wantsRace {
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
print(wantsRace ? planted.sum : guarded.sums.withLock { $0.count })
