import Cloud
import Synchronization

/// How many requests are in flight: altogether and for each owner. A place is given back by whoever took it.
final class Admission: Sendable {
    private struct State {
        var total = 0
        var owners: [UserID: Int] = [:]
    }

    private let maximum: Int
    private let maximumPerOwner: Int
    private let state = Mutex(State())

    init(maximum: Int, maximumPerOwner: Int) {
        self.maximum = maximum
        self.maximumPerOwner = maximumPerOwner
    }

    func enter() -> Bool {
        self.state.withLock { state in
            guard state.total < self.maximum else { return false }
            state.total += 1
            return true
        }
    }

    func leave() {
        self.state.withLock { $0.total -= 1 }
    }

    func enter(_ owner: UserID) -> Bool {
        self.state.withLock { state in
            let count = state.owners[owner, default: 0]
            guard count < self.maximumPerOwner else { return false }
            state.owners[owner] = count + 1
            return true
        }
    }

    func leave(_ owner: UserID) {
        self.state.withLock { state in
            // Owners without a request are not remembered, so the table is no longer than what is in flight.
            guard let count = state.owners[owner], count > 1 else {
                state.owners[owner] = nil
                return
            }
            state.owners[owner] = count - 1
        }
    }

    /// What is in flight now.
    var total: Int { self.state.withLock { $0.total } }
}
