import Synchronization

/// The states of one process. Of too many devices, who said nothing for longest is forgotten.
package final class InMemoryStateStore: StateStore {
    package static let maximumBytes = 64 * 1024 * 1024
    /// What a state takes besides its payload and key, about, in bytes.
    private static let overhead = 200

    private struct Entry {
        var state: StoredState
        var at: Timestamp
    }

    private struct Device {
        var states: [String: Entry] = [:]
        var bytes = 0
        /// Greater than that of every device that was heard of before it.
        var heard: UInt64 = 0

        mutating func forget(_ key: String) {
            guard let entry = self.states.removeValue(forKey: key) else { return }
            self.bytes -= InMemoryStateStore.size(entry.state, key)
        }
    }

    private struct State {
        var devices: [DeviceID: Device] = [:]
        var bytes = 0
        var heard: UInt64 = 0
    }

    private let clock: any WallClock
    private let maximumBytes: Int
    private let state = Mutex(State())

    package init(clock: any WallClock, maximumBytes: Int = InMemoryStateStore.maximumBytes) {
        self.clock = clock
        self.maximumBytes = max(maximumBytes, StoredStateLimits.payloadBytes * 4)
    }

    /// What all states take, about, in bytes.
    package var bytes: Int { self.state.withLock { $0.bytes } }

    package func keep(
        _ state: StoredState, of resource: StoredResource, done: @escaping @Sendable (Bool) -> Void
    ) {
        defer { done(true) }
        guard StoredStateLimits.takes(state, of: resource) else { return }
        let at = self.clock.now() - state.age
        self.state.withLock { all in
            var device = all.devices.removeValue(forKey: resource.di) ?? Device()
            let before = device.bytes
            if device.states[resource.key].map({ $0.state.order <= state.order }) ?? true {
                device.forget(resource.key)
                if device.states.count >= StoredStateLimits.perDevice,
                    let oldest = device.states.min(by: { $0.value.at < $1.value.at })?.key
                {
                    device.forget(oldest)
                }
                device.states[resource.key] = Entry(state: state, at: at)
                device.bytes += Self.size(state, resource.key)
            }
            all.bytes += device.bytes - before
            all.heard += 1
            device.heard = all.heard
            all.devices[resource.di] = device
            guard all.bytes > self.maximumBytes else { return }
            // A tenth at once, so that looking through all of them is rare; never the one that just spoke.
            let quiet = all.devices.sorted { $0.value.heard < $1.value.heard }.dropLast()
            for (di, device) in quiet.prefix(max(1, all.devices.count / 10)) {
                all.devices[di] = nil
                all.bytes -= device.bytes
            }
        }
    }

    package func state(of resource: StoredResource) async throws(RouteStoreUnavailable) -> StoredState? {
        let now = self.clock.now()
        return self.state.withLock { all in
            guard let entry = all.devices[resource.di]?.states[resource.key] else { return nil }
            var state = entry.state
            state.age = max(now - entry.at, .zero)
            return state.age <= StoredStateLimits.age ? state : nil
        }
    }

    package func forget(_ di: DeviceID) {
        self.state.withLock { all in
            guard let device = all.devices.removeValue(forKey: di) else { return }
            all.bytes -= device.bytes
        }
    }

    private static func size(_ state: StoredState, _ key: String) -> Int {
        state.payload.count + key.utf8.count + Self.overhead
    }
}
