package import Cloud
import NIOCore
import Synchronization

/// A stream of events for each owner, in Redis.
///
/// Trimmed to about `EventLogLimits.perOwner` by each new event, and gone `EventLogLimits.age` after the last. Older
/// events within a stream that lives on are not shown; trimming by age would need Redis 6.2.
///
/// What Redis did not take is owed: as soon as it answers, the numbers of that owner's log get a hole. Redis' own
/// loss is seen by `events-since`, which is as old as what else is there.
package final class RedisEventLog: EventHistory {
    /// When what Redis did not take is paid for, and again if that fails.
    private static let pause: TimeAmount = .seconds(1)
    /// How many debts are paid at a time.
    private static let paidAtOnce = 100

    private struct State {
        var debts: EventDebts
        /// Whether somebody is about to pay.
        var isPaying = false
    }

    private let client: RedisClient
    private let keys: RedisKeys
    private let clock: any WallClock
    private let state: Mutex<State>

    package convenience init(client: RedisClient, clock: any WallClock = SystemWallClock()) {
        self.init(client: client, clock: clock, debts: EventDebts())
    }

    /// - Parameter debts: where what Redis did not take is kept.
    init(client: RedisClient, clock: any WallClock = SystemWallClock(), debts: EventDebts) {
        self.state = Mutex(State(debts: debts))
        self.client = client
        self.keys = RedisKeys(prefix: client.configuration.keyPrefix)
        self.clock = clock
    }

    private var deadline: NIODeadline { .now() + TimeAmount(self.client.configuration.limits.unhurried) }

    // MARK: Writing

    /// Ids are not left to Redis, so that their numbers have no holes but those that are meant. A log that is there
    /// goes on from its last.
    ///
    /// KEYS stream. ARGV how many are kept, how many ms after the last one, by how much the number grows, then the
    /// fields.
    private static let adding = """
        local time = redis.call('TIME')
        local ms = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
        local number = 0
        local last = redis.call('XREVRANGE', KEYS[1], '+', '-', 'COUNT', 1)
        if last[1] then
          local before, count = string.match(last[1][1], '^(%d+)-(%d+)$')
          ms, number = math.max(ms, tonumber(before)), tonumber(count)
        end
        local id = string.format('%.0f-%.0f', ms, number + ARGV[3])
        redis.call('XADD', KEYS[1], 'MAXLEN', '~', ARGV[1], id, unpack(ARGV, 4))
        redis.call('PEXPIRE', KEYS[1], ARGV[2])
        return id
        """

    /// By its text and not its digest: a second attempt would come behind events that were told later.
    private func add(_ fields: [String], growing: Int, of uid: UserID) -> RedisCommand {
        RedisCommand(
            [
                "EVAL", Self.adding, "1", self.keys.events(uid.text), "\(EventLogLimits.perOwner)",
                "\(EventLogLimits.age.clampedMilliseconds)", "\(growing)",
            ] + fields)
    }

    package func append(_ event: OwnerEvent, of uid: UserID) {
        let fields = [
            "kind", event.kind.rawValue, "di", event.di?.text ?? "", "at", "\(event.at.milliseconds)",
            "text", EventLogLimits.cut(event.text),
        ]
        self.client.send(self.add(fields, growing: 1, of: uid), deadline: self.deadline) { result in
            switch result {
            case .success(let id):
                // The first of a log may be the first of all.
                guard let id = id.text.flatMap({ EventLogID($0) }), id.number == 1 else { return }
                let begin = RedisCommand("SET", self.keys.eventsSince, "\(id.milliseconds)", "NX")
                self.client.send(begin, deadline: self.deadline) { _ in
                    // Then whoever reads says so, only later than it was.
                }
            case .failure:
                // It may have come in all the same: better one gap too many.
                self.owe(.owner(uid, .gap))
            }
        }
    }

    package func forget(_ uid: UserID) {
        self.client.send(self.command(.owner(uid, .forgetting)), deadline: self.deadline) { result in
            if case .failure = result { self.owe(.owner(uid, .forgetting)) }
        }
    }

    // MARK: Debts

    private func command(_ payment: EventDebts.Payment) -> RedisCommand {
        switch payment {
        case .owner(let uid, .gap): self.add(["kind", "gap"], growing: 2, of: uid)
        case .owner(let uid, .forgetting): RedisCommand("DEL", self.keys.events(uid.text))
        case .everybody: RedisCommand("EVAL", Self.beginning, "1", self.keys.eventsSince, "1")
        }
    }

    /// Whether there is something that Redis did not take.
    var owes: Bool { self.state.withLock { !$0.debts.isEmpty } }

    private func owe(_ payment: EventDebts.Payment) {
        let isFirst = self.state.withLock { state in
            state.debts.owe(payment)
            defer { state.isPaying = true }
            return !state.isPaying
        }
        if isFirst { self.client.schedule(in: Self.pause) { self.pay() } }
    }

    private func pay() {
        // What is sent to a server that stands still may be acted on later, each time it was sent.
        guard self.client.isConnected else { return self.client.schedule(in: Self.pause) { self.pay() } }
        let payments = self.state.withLock { $0.debts.take(Self.paidAtOnce) }
        self.client.send(payments.map { self.command($0) }, deadline: self.deadline) { _, answers in
            let unpaid = zip(payments, answers).compactMap { payment, answer in
                if case .failure = answer { payment } else { nil }
            }
            let isDone = self.state.withLock { state in
                for payment in unpaid { state.debts.owe(payment) }
                if state.debts.isEmpty { state.isPaying = false }
                return state.debts.isEmpty
            }
            if !isDone { self.client.schedule(in: unpaid.isEmpty ? .zero : Self.pause) { self.pay() } }
        }
    }

    // MARK: Reading

    /// Since when there are events, in ms of Redis' time. Whoever finds none says: now.
    ///
    /// KEYS since. ARGV 1: also who finds it.
    private static let beginning = """
        local since = redis.call('GET', KEYS[1])
        if not since or ARGV[1] == '1' then
          local time = redis.call('TIME')
          since = string.format('%.0f', tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000))
          redis.call('SET', KEYS[1], since)
        end
        return since
        """

    package func last(of uid: UserID) async throws(RouteStoreUnavailable) -> EventLogID {
        try await self.end(of: uid).last
    }

    private func end(
        of uid: UserID
    ) async throws(RouteStoreUnavailable) -> (last: EventLogID, since: UInt64) {
        let newest = try await self.ask(
            RedisCommand("XREVRANGE", self.keys.events(uid.text), "+", "-", "COUNT", "1"))
        let since = try await self.since()
        let last = newest.elements?.first.flatMap(Self.id) ?? .start
        return (EventLogID(milliseconds: max(last.milliseconds, since), number: last.number), since)
    }

    private func since() async throws(RouteStoreUnavailable) -> UInt64 {
        if let since = try await self.ask(RedisCommand("GET", self.keys.eventsSince)).text.flatMap(UInt64.init) {
            return since
        }
        let began = try await self.ask(RedisCommand("EVAL", Self.beginning, "1", self.keys.eventsSince, "0"))
        guard let since = began.text.flatMap(UInt64.init) else {
            throw RouteStoreUnavailable(reason: "\(self.keys.eventsSince) is no number")
        }
        return since
    }

    package func read(
        of uid: UserID, after place: EventLogID, limit: Int
    ) async throws(RouteStoreUnavailable) -> EventPage {
        let (end, since) = try await self.end(of: uid)
        if end == place { return EventPage(events: [], gap: false, last: place) }
        guard place < end else { return EventPage(events: [], gap: true, last: end) }
        // Up to the next hole, behind which the next page begins.
        var page = EventPage(events: [], gap: false, last: place)
        for entry in try await self.entries(of: uid, after: place, limit: limit) {
            guard let id = Self.id(entry) else { continue }
            if !page.last.isFollowed(by: id) || page.last.milliseconds < since && id.milliseconds >= since {
                guard page.last == place else { break }
                page.gap = true
            }
            page.last = id
            if let event = Self.event(entry) { page.events.append(event) }
        }
        // There are none any more, or they are too old.
        return page.last == place ? EventPage(events: [], gap: true, last: end) : page
    }

    private func entries(
        of uid: UserID, after place: EventLogID, limit: Int
    ) async throws(RouteStoreUnavailable) -> [RedisValue] {
        // Ids begin with the time in milliseconds.
        let oldest = EventLogID(milliseconds: UInt64(max(0, (self.clock.now() - EventLogLimits.age).milliseconds)))
        return try await self.ask(
            RedisCommand(
                "XRANGE", self.keys.events(uid.text), max(oldest, place.next).text, "+", "COUNT",
                "\(min(max(limit, 1), EventLogLimits.perOwner))")
        ).elements ?? []
    }

    private func ask(_ command: RedisCommand) async throws(RouteStoreUnavailable) -> RedisValue {
        do {
            return try await self.client.ask(command, within: self.client.configuration.limits.unhurried).get()
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
