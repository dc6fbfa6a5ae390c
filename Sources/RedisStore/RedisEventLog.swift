package import Cloud
import NIOCore

/// A stream of events for each owner, in Redis.
///
/// Trimmed to about `EventLogLimits.perOwner` by each new event, and gone `EventLogLimits.age` after the last. Older
/// events within a stream that lives on are not shown; trimming by age would need Redis 6.2.
package final class RedisEventLog: EventHistory {
    private let client: RedisClient
    private let keys: RedisKeys
    private let clock: any WallClock

    package init(client: RedisClient, clock: any WallClock = SystemWallClock()) {
        self.client = client
        self.keys = RedisKeys(prefix: client.configuration.keyPrefix)
        self.clock = clock
    }

    /// Ids are not left to Redis, so that their numbers have no holes. A log that is there goes on from its last.
    ///
    /// KEYS stream. ARGV how many are kept, how many ms after the last one, kind, di, at, text.
    private static let adding = """
        local time = redis.call('TIME')
        local ms = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
        local number = 0
        local last = redis.call('XREVRANGE', KEYS[1], '+', '-', 'COUNT', 1)
        if last[1] then
          local before, count = string.match(last[1][1], '^(%d+)-(%d+)$')
          ms, number = math.max(ms, tonumber(before)), tonumber(count)
        end
        local id = string.format('%.0f-%.0f', ms, number + 1)
        redis.call('XADD', KEYS[1], 'MAXLEN', '~', ARGV[1], id,
          'kind', ARGV[3], 'di', ARGV[4], 'at', ARGV[5], 'text', ARGV[6])
        redis.call('PEXPIRE', KEYS[1], ARGV[2])
        return id
        """

    package func append(_ event: OwnerEvent, of uid: UserID) {
        let limit = self.client.configuration.limits.unhurried
        // By its text and not its digest: a second attempt would come behind events that were told later.
        let add = RedisCommand(
            "EVAL", Self.adding, "1", self.keys.events(uid.text), "\(EventLogLimits.perOwner)",
            "\(EventLogLimits.age.clampedMilliseconds)", event.kind.rawValue, event.di?.text ?? "",
            "\(event.at.milliseconds)", EventLogLimits.cut(event.text))
        self.client.send(add, deadline: .now() + TimeAmount(limit)) { _ in
            // Lost, as the seam says.
        }
    }

    package func forget(_ uid: UserID) {
        let limit = self.client.configuration.limits.unhurried
        self.client.send(
            RedisCommand("DEL", self.keys.events(uid.text)), deadline: .now() + TimeAmount(limit)
        ) { _ in
            // Lost, as the seam says.
        }
    }

    package func events(
        of uid: UserID, after id: String?, limit: Int
    ) async throws(RouteStoreUnavailable) -> [LoggedEvent] {
        try await self.entries(of: uid, after: id.flatMap { EventLogID($0) } ?? .start, limit: limit)
            .compactMap(Self.event)
    }

    package func last(of uid: UserID) async throws(RouteStoreUnavailable) -> EventLogID {
        let command = RedisCommand("XREVRANGE", self.keys.events(uid.text), "+", "-", "COUNT", "1")
        return try await self.ask(command).first.flatMap(Self.id) ?? .start
    }

    package func read(
        of uid: UserID, after place: EventLogID, limit: Int
    ) async throws(RouteStoreUnavailable) -> EventPage {
        let last = try await self.last(of: uid)
        if last == place { return EventPage(events: [], gap: false, last: place) }
        guard place < last else { return EventPage(events: [], gap: true, last: last) }
        let entries = try await self.entries(of: uid, after: place, limit: limit)
        let ids = entries.compactMap(Self.id)
        guard let first = ids.first, let end = ids.last else {
            // They are too old.
            return EventPage(events: [], gap: true, last: last)
        }
        return EventPage(events: entries.compactMap(Self.event), gap: first.number != place.number + 1, last: end)
    }

    private func entries(
        of uid: UserID, after place: EventLogID, limit: Int
    ) async throws(RouteStoreUnavailable) -> [RedisValue] {
        // Ids begin with the time in milliseconds.
        let oldest = EventLogID(milliseconds: UInt64(max(0, (self.clock.now() - EventLogLimits.age).milliseconds)))
        return try await self.ask(
            RedisCommand(
                "XRANGE", self.keys.events(uid.text), max(oldest, place.next).text, "+", "COUNT",
                "\(min(max(limit, 1), EventLogLimits.perOwner))"))
    }

    private func ask(_ command: RedisCommand) async throws(RouteStoreUnavailable) -> [RedisValue] {
        do {
            return try await self.client.ask(command, within: self.client.configuration.limits.unhurried).get()
                .elements ?? []
        } catch {
            throw RouteStoreUnavailable(reason: "\(error)")
        }
    }

    private static func id(_ entry: RedisValue) -> EventLogID? {
        entry.elements?.first?.text.flatMap { EventLogID($0) }
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
