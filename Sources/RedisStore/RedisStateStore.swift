package import Cloud
import NIOCore

/// The last states of devices' resources, a hash for each device, in Redis.
///
/// A value is six lines of text, then the payload: version, time in ms of the server's clock, epoch and number of
/// `StateOrder`, format or nothing, owner.
package final class RedisStateStore: StateStore {
    /// The form of the values; what has another is of a version that knows more.
    private static let version = "2"

    /// Keeps a state unless what is there is newer. Where a device has as many as it may, the oldest makes room:
    /// looking for it costs a look at all of them, and is rare.
    ///
    /// KEYS state. ARGV what is added to the server's clock in ms, resource, how many resources at most, lifetime ms,
    /// how long ago it was said in ms, epoch, number, format, owner, payload.
    private static let keep = RedisScript(
        #"""
        local time = redis.call('TIME')
        local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000) + tonumber(ARGV[1])
        local function head(value)
          local at, epoch, number = string.match(value or '', '^2\n(%-?%d+)\n(%d+)\n(%d+)\n')
          return tonumber(at or '') or 0, tonumber(epoch or '') or 0, tonumber(number or '') or 0
        end
        local old = redis.call('HGET', KEYS[1], ARGV[2])
        if old then
          local _, epoch, number = head(old)
          local mine = tonumber(ARGV[6])
          if epoch > mine or (epoch == mine and number > tonumber(ARGV[7])) then return 0 end
        elseif redis.call('HLEN', KEYS[1]) >= tonumber(ARGV[3]) then
          local all = redis.call('HGETALL', KEYS[1])
          local oldest, field
          for i = 1, #all, 2 do
            local at = head(all[i + 1])
            if not oldest or at < oldest then oldest, field = at, all[i] end
          end
          redis.call('HDEL', KEYS[1], field)
        end
        local at = string.format('%.0f', now - tonumber(ARGV[5]))
        redis.call('HSET', KEYS[1], ARGV[2],
          table.concat({'2', at, ARGV[6], ARGV[7], ARGV[8], ARGV[9], ARGV[10]}, '\n'))
        redis.call('PEXPIRE', KEYS[1], ARGV[4])
        return 1
        """#)

    private let client: RedisClient
    private let keys: RedisKeys
    private let shift: @Sendable () -> Duration

    /// - Parameter shift: what is added to the server's clock, for tests.
    package init(client: RedisClient, shift: @escaping @Sendable () -> Duration = { .zero }) {
        self.client = client
        self.keys = RedisKeys(prefix: client.configuration.keyPrefix)
        self.shift = shift
    }

    package func keep(
        _ state: StoredState, of resource: StoredResource, done: @escaping @Sendable (Bool) -> Void
    ) {
        guard StoredStateLimits.takes(state, of: resource) else { return done(true) }
        self.client.run(
            Self.keep, byText: false, keys: [self.keys.state(resource.di.text)],
            arguments: [
                "\(self.shift().clampedMilliseconds)", resource.key, "\(StoredStateLimits.perDevice)",
                "\(StoredStateLimits.age.clampedMilliseconds)", "\(state.age.clampedMilliseconds)",
                "\(state.order.epoch)", "\(state.order.number)", state.contentFormat.map(String.init) ?? "",
                state.uid.text,
            ],
            value: state.payload, deadline: self.deadline
        ) { answer in
            if case .success = answer { done(true) } else { done(false) }
        }
    }

    package func state(of resource: StoredResource) async throws(RouteStoreUnavailable) -> StoredState? {
        // Both are of one server: its clock says how old the state is.
        let commands = [RedisCommand("TIME"), RedisCommand("HGET", self.keys.state(resource.di.text), resource.key)]
        let deadline = NIODeadline.now() + TimeAmount(self.client.configuration.limits.hurried)
        let answers = await withCheckedContinuation { continuation in
            self.client.send(commands, deadline: deadline - RedisConnectionHandler.grain) { _, answers in
                continuation.resume(returning: answers)
            }
        }
        do {
            let (time, value) = (try answers[0].get(), try answers[1].get())
            guard case .bytes(let bytes) = value else { return nil }
            guard let now = Self.milliseconds(time) else {
                throw RouteStoreUnavailable(reason: "TIME answered \(time)")
            }
            return Self.state(bytes, now: now + self.shift())
        } catch let error as RouteStoreUnavailable {
            throw error
        } catch {
            throw RouteStoreUnavailable(reason: "\(error)")
        }
    }

    package func forget(_ di: DeviceID) {
        self.client.send(RedisCommand("DEL", self.keys.state(di.text)), deadline: self.deadline) { _ in
            // What stays is older than whatever is registered under this id next, and ends with its time.
        }
    }

    private var deadline: NIODeadline { .now() + TimeAmount(self.client.configuration.limits.unhurried) }

    /// The answer to TIME: seconds, and microseconds of the second.
    private static func milliseconds(_ time: RedisValue) -> Timestamp? {
        guard case .array(let parts) = time, parts.count == 2, case .bytes(let seconds) = parts[0],
            case .bytes(let rest) = parts[1], let whole = Int64(String(decoding: seconds, as: UTF8.self)),
            let microseconds = Int64(String(decoding: rest, as: UTF8.self))
        else { return nil }
        return Timestamp(milliseconds: whole.multipliedReportingOverflow(by: 1000).partialValue)
            + .microseconds(microseconds)
    }

    /// Nil if it is of another version, or too old.
    private static func state(_ bytes: [UInt8], now: Timestamp) -> StoredState? {
        let parts = bytes.split(separator: UInt8(ascii: "\n"), maxSplits: 6, omittingEmptySubsequences: false)
        let fields = parts.prefix(6).compactMap { String(validating: $0, as: UTF8.self) }
        guard parts.count == 7, fields.count == 6, fields[0] == Self.version, let at = Int64(fields[1]),
            let epoch = UInt64(fields[2]), let number = UInt64(fields[3]), !fields[5].isEmpty
        else { return nil }
        let age = max(now - Timestamp(milliseconds: at), .zero)
        guard age <= StoredStateLimits.age else { return nil }
        return StoredState(
            uid: UserID(stored: fields[5]), payload: Array(parts[6]), contentFormat: UInt16(fields[4]), age: age,
            order: StateOrder(epoch: epoch, number: number))
    }
}
