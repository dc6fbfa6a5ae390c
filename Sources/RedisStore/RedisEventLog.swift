package import Cloud
import NIOCore

/// A stream of events for each owner, in Redis.
///
/// Trimmed to about `EventLogLimits.perOwner` by each new event, and gone `EventLogLimits.age` after the last. Older
/// events within a stream that lives on are not shown; trimming by age would need Redis 6.2.
package final class RedisEventLog: EventLog {
    private let client: RedisClient
    private let keys: RedisKeys
    private let clock: any WallClock

    package init(client: RedisClient, clock: any WallClock = SystemWallClock()) {
        self.client = client
        self.keys = RedisKeys(prefix: client.configuration.keyPrefix)
        self.clock = clock
    }

    package func append(_ event: OwnerEvent, of uid: UserID) {
        let key = self.keys.events(uid.text)
        let add = RedisCommand(
            "XADD", key, "MAXLEN", "~", "\(EventLogLimits.perOwner)", "*", "kind", event.kind.rawValue, "di",
            event.di?.text ?? "", "at", "\(event.at.milliseconds)", "text", EventLogLimits.cut(event.text))
        let expire = RedisCommand("PEXPIRE", key, "\(EventLogLimits.age.clampedMilliseconds)")
        let limit = self.client.configuration.limits.unhurried
        self.client.send([add, expire], deadline: .now() + TimeAmount(limit)) { _, _ in
            // Lost, as the seam says.
        }
    }

    package func events(
        of uid: UserID, after id: String?, limit: Int
    ) async throws(RouteStoreUnavailable) -> [LoggedEvent] {
        // Ids begin with the time in milliseconds.
        let oldest = EventLogID(milliseconds: UInt64(max(0, (self.clock.now() - EventLogLimits.age).milliseconds)))
        let start = max(oldest, id.flatMap { EventLogID($0) }?.next ?? oldest)
        let command = RedisCommand(
            "XRANGE", self.keys.events(uid.text), start.text, "+", "COUNT",
            "\(min(max(limit, 1), EventLogLimits.perOwner))")
        let limit = self.client.configuration.limits.unhurried
        let entries: [RedisValue]
        do {
            entries = try await self.client.ask(command, within: limit).get().elements ?? []
        } catch {
            throw RouteStoreUnavailable(reason: "\(error)")
        }
        return entries.compactMap(Self.event)
    }

    /// What is not understood is left out: a newer version may know more kinds.
    private static func event(_ entry: RedisValue) -> LoggedEvent? {
        guard let parts = entry.elements, parts.count == 2, let id = parts[0].text, let words = parts[1].elements,
            words.count.isMultiple(of: 2)
        else { return nil }
        var fields: [String: String] = [:]
        for index in stride(from: 0, to: words.count, by: 2) {
            if let name = words[index].text { fields[name] = words[index + 1].text }
        }
        guard let kind = fields["kind"].flatMap(OwnerEvent.Kind.init(rawValue:)),
            let at = fields["at"].flatMap({ Int64($0) }), let text = fields["text"]
        else { return nil }
        let di = fields["di"].flatMap { $0.isEmpty ? nil : DeviceID(stored: $0) }
        return LoggedEvent(
            id: id, event: OwnerEvent(kind: kind, di: di, at: Timestamp(milliseconds: at), text: text))
    }
}
