import Synchronization

/// Says that a stop is to be quick: somebody at a terminal pressed Ctrl-C.
package final class Hurry: Sendable {
    private struct State {
        var isThere = false
        var waiting: [UInt64: CheckedContinuation<Void, Never>] = [:]
        var next: UInt64 = 0
    }

    private let state = Mutex(State())

    package init() {}

    var isThere: Bool { self.state.withLock { $0.isThere } }

    package func begin() {
        let waiting = self.state.withLock { state in
            state.isThere = true
            defer { state.waiting = [:] }
            return state.waiting.values
        }
        for continuation in waiting { continuation.resume() }
    }

    /// Runs `body` and cancels it when there is hurry.
    package func cancels(_ body: @escaping @Sendable () async -> Void) async {
        await withTaskGroup { group in
            group.addTask { await body() }
            group.addTask { await self.wait() }
            _ = await group.next()
            group.cancelAll()
        }
    }

    /// Returns when there is hurry, or the task is cancelled.
    private func wait() async {
        let id = self.state.withLock { state in
            state.next += 1
            return state.next
        }
        await withTaskCancellationHandler {
            await withCheckedContinuation { continuation in
                let isOver = self.state.withLock { state in
                    guard !state.isThere, !Task.isCancelled else { return true }
                    state.waiting[id] = continuation
                    return false
                }
                if isOver { continuation.resume() }
            }
        } onCancel: {
            self.state.withLock { $0.waiting.removeValue(forKey: id) }?.resume()
        }
    }
}
