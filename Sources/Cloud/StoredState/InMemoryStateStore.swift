import Synchronization

/// The states of one process. Of too many devices, who said nothing for longest is forgotten.
package final class InMemoryStateStore: StateStore {
    package static let maximumBytes = 64 * 1024 * 1024
    /// What a state takes besides its payload and key, about, in bytes.
    private static let overhead = 200

    private struct Device {
        var states: [String: StoredState] = [:]
        var bytes = 0
        /// Greater than that of every device that was heard of before it.
        var heard: UInt64 = 0
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

    package func keep(_ state: StoredState, of resource: StoredResource) {
        guard StoredStateLimits.takes(state, of: resource) else { return }
        let size = Self.size(state, resource.key)
        self.state.withLock { all in
            var device = all.devices.removeValue(forKey: resource.di) ?? Device()
            let before = device.states[resource.key]
            if before != nil || device.states.count < StoredStateLimits.perDevice {
                device.states[resource.key] = state
                let more = size - (before.map { Self.size($0, resource.key) } ?? 0)
                device.bytes += more
                all.bytes += more
            }
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
        let oldest = self.clock.now() - StoredStateLimits.age
        return self.state.withLock { all in
            guard let state = all.devices[resource.di]?.states[resource.key], state.at >= oldest else { return nil }
            return state
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
