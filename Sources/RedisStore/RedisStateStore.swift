package import Cloud
import NIOCore

/// The last states of devices' resources, a hash for each device, in Redis.
///
/// A value is four lines of text, then the payload: version, time in ms, format or nothing, owner.
package final class RedisStateStore: StateStore {
    /// The form of the values; what has another is of a version that knows more.
    private static let version = "1"

    /// KEYS state. ARGV resource, how many resources at most, lifetime ms, value.
    private static let keep = RedisScript(
        """
        if redis.call('HEXISTS', KEYS[1], ARGV[1]) == 0 and redis.call('HLEN', KEYS[1]) >= tonumber(ARGV[2]) then
          return 0
        end
        redis.call('HSET', KEYS[1], ARGV[1], ARGV[4])
        redis.call('PEXPIRE', KEYS[1], ARGV[3])
        return 1
        """)

    private let client: RedisClient
    private let keys: RedisKeys
    private let clock: any WallClock

    package init(client: RedisClient, clock: any WallClock = SystemWallClock()) {
        self.client = client
        self.keys = RedisKeys(prefix: client.configuration.keyPrefix)
        self.clock = clock
    }

    package func keep(_ state: StoredState, of resource: StoredResource) {
        guard StoredStateLimits.takes(state, of: resource) else { return }
        self.client.run(
            Self.keep, byText: false, keys: [self.keys.state(resource.di.text)],
            arguments: [
                resource.key, "\(StoredStateLimits.perDevice)", "\(StoredStateLimits.age.clampedMilliseconds)",
            ],
            value: Self.value(state), deadline: self.deadline
        ) { _ in
            // Lost, as the seam says.
        }
    }

    package func state(of resource: StoredResource) async throws(RouteStoreUnavailable) -> StoredState? {
        let command = RedisCommand("HGET", self.keys.state(resource.di.text), resource.key)
        let value: RedisValue
        do {
            value = try await self.client.ask(command, within: self.client.configuration.limits.hurried).get()
        } catch {
            throw RouteStoreUnavailable(reason: "\(error)")
        }
        guard case .bytes(let bytes) = value, let state = Self.state(bytes),
            state.at >= self.clock.now() - StoredStateLimits.age
        else { return nil }
        return state
    }

    package func forget(_ di: DeviceID) {
        self.client.send(RedisCommand("DEL", self.keys.state(di.text)), deadline: self.deadline) { _ in
            // What stays is of an owner who cannot ask for the device any more, and ends with its time.
        }
    }

    private var deadline: NIODeadline { .now() + TimeAmount(self.client.configuration.limits.unhurried) }

    private static func value(_ state: StoredState) -> [UInt8] {
        let head =
            "\(Self.version)\n\(state.at.milliseconds)\n\(state.contentFormat.map(String.init) ?? "")\n\(state.uid.text)\n"
        return Array(head.utf8) + state.payload
    }

    private static func state(_ bytes: [UInt8]) -> StoredState? {
        let parts = bytes.split(separator: UInt8(ascii: "\n"), maxSplits: 4, omittingEmptySubsequences: false)
        let fields = parts.prefix(4).compactMap { String(validating: $0, as: UTF8.self) }
        guard parts.count == 5, fields.count == 4, fields[0] == Self.version, let at = Int64(fields[1]),
            !fields[3].isEmpty
        else { return nil }
        return StoredState(
            uid: UserID(stored: fields[3]), payload: Array(parts[4]), contentFormat: UInt16(fields[2]),
            at: Timestamp(milliseconds: at))
    }
}
