import Synchronization

/// Writes the state file whenever the cloud hands out tokens or another address.
package final class StateKeeper: Sendable {
    private struct State {
        var address: ServerAddress
        var tokens: Tokens?
    }

    private let file: StateFile
    private let di: String
    private let state: Mutex<State>

    package init(file: StateFile, address: ServerAddress, di: String, tokens: Tokens?) {
        self.file = file
        self.di = di
        self.state = Mutex(State(address: address, tokens: tokens))
    }

    /// - Returns: what went wrong, for people. Whatever it is, the device goes on with what it has in memory.
    package func note(_ event: DeviceEvent) -> String? {
        switch event {
        case .received(let tokens, _):
            self.save { $0.tokens = tokens }
        case .redirected(let address):
            self.save { $0.address = address }
        case .connecting, .connected, .notConnected, .ended, .returning, .repeating, .gaveUp, .answered, .signedIn,
            .published, .unanswered, .unusable, .impossible, .served:
            nil
        }
    }

    private func save(_ change: (inout State) -> Void) -> String? {
        let saved: SavedState? = self.state.withLock { state in
            change(&state)
            return state.tokens.map { SavedState(address: state.address, di: self.di, tokens: $0) }
        }
        guard let saved else { return nil }
        do throws(StateFileError) {
            try self.file.save(saved)
            return nil
        } catch {
            return error.description
        }
    }
}
