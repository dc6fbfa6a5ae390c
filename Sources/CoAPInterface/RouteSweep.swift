import Cloud
import NIOCore

/// When which route is asserted and the lease renewed, without input or output.
///
/// In the steady state every route comes up once in `RouteTimes.sweep`, evenly. All of them come up, newest first, when
/// the store may have forgotten some; those whose assertion got no answer do when the store answers again.
struct RouteSweep {
    struct Entry: Hashable, Sendable {
        let di: DeviceID
        let epoch: UInt64
    }

    struct Work: Hashable {
        var renews = false
        /// The last renewal is still without an answer.
        var isStoreSilent = false
        /// Newest first.
        var urgent: [Entry] = []
        /// To be given back with `requeue` if the session still is.
        var regular: [Entry] = []
    }

    /// Assertions a second, when all are due.
    static let rate = 2000
    /// How soon a renewal that failed is tried again.
    static let renewalRetry = TimeAmount.milliseconds(250)
    /// Under way at a time, while the store is slow.
    static let maximumUnderWay = 1000
    /// More that failed than these are not remembered one by one: then all are asserted.
    static let maximumFailed = 10_000

    /// First in, first out; what was taken is given back at the end.
    private var queue: [Entry] = []
    private var queueHead = 0
    /// In the order of epochs, so that the newest is the last.
    private var urgent: [Entry] = []
    private var failed: [DeviceID: UInt64] = [:]
    private var hasTooManyFailed = false
    private(set) var underWay = 0
    private var lastRenewal: LeaseRenewal?
    private var isRenewing = false
    /// The store is to hear something before the next renewal.
    private var hasNews = false
    private var nextRenewal: NIODeadline?
    private var lastTick: NIODeadline?
    /// Parts of an assertion that are due, below 1, for each of the two ways.
    private var regularCredit = 0.0
    private var urgentCredit = 0.0
    private(set) var isReachable = true

    /// Entries of the regular round, those of sessions that are over included.
    var count: Int { self.queue.count - self.queueHead }
    var isUrgent: Bool { !self.urgent.isEmpty }

    /// A session began. Its turn comes after everybody else's.
    mutating func entered(_ entry: Entry, isWritten: Bool) {
        self.queue.append(entry)
        if !isWritten { self.retry(entry) }
    }

    mutating func requeue(_ entry: Entry) {
        self.queue.append(entry)
    }

    /// Whether so many sessions have ended that the regular round is mostly made of them.
    func isOvergrown(sessions: Int) -> Bool {
        self.count > 2 * sessions + 1024
    }

    /// Takes out what `isCurrent` says is over.
    mutating func shrink(isCurrent: (Entry) -> Bool) {
        self.queue = self.queue[self.queueHead...].filter(isCurrent)
        self.queueHead = 0
    }

    // MARK: Time

    mutating func tick(now: NIODeadline) -> Work {
        var work = Work()
        // News waits for an answer that is under way: two renewals at a time could not be told apart.
        if self.nextRenewal.map({ $0 <= now }) ?? true || (self.hasNews && !self.isRenewing) {
            self.hasNews = false
            work.renews = true
            work.isStoreSilent = self.isRenewing
            if self.isRenewing { self.isReachable = false }
            self.isRenewing = true
            self.nextRenewal = now + TimeAmount(RouteTimes.renewal)
        }
        // After a pause there is no hurry: at most a second's worth at once.
        let elapsed = min(self.lastTick.map { Double((now - $0).nanoseconds) / 1e9 } ?? 0, 1)
        self.lastTick = now
        guard self.isReachable else { return work }
        let room = Self.maximumUnderWay - self.underWay
        if self.urgent.isEmpty {
            self.urgentCredit = 0
            self.regularCredit += Double(self.count) * elapsed / (Double(RouteTimes.sweep.clampedMilliseconds) / 1000)
            let number = max(0, min(Int(self.regularCredit), self.count, room))
            self.regularCredit -= Double(Int(self.regularCredit))
            work.regular = Array(self.queue[self.queueHead..<self.queueHead + number])
            self.queueHead += number
            self.compact()
            self.underWay += number
        } else {
            self.urgentCredit += Double(Self.rate) * elapsed
            let number = max(0, min(Int(self.urgentCredit), self.urgent.count, room))
            self.urgentCredit -= Double(Int(self.urgentCredit))
            work.urgent = Array(self.urgent.suffix(number).reversed())
            self.urgent.removeLast(number)
            self.underWay += number
        }
        return work
    }

    private mutating func compact() {
        guard self.queueHead > 1024, self.queueHead * 2 > self.queue.count else { return }
        self.queue.removeFirst(self.queueHead)
        self.queueHead = 0
    }

    // MARK: What the store says

    /// The lease was renewed. True if every route has to be asserted: call `assertAll` with them.
    mutating func renewed(_ renewal: LeaseRenewal) -> Bool {
        self.isRenewing = false
        self.isReachable = true
        let last = self.lastRenewal
        self.lastRenewal = renewal
        let isAll =
            self.hasTooManyFailed || renewal.hadLapsed || last?.connection != renewal.connection
            || last?.generation != renewal.generation
        if !isAll, !self.failed.isEmpty {
            self.makeUrgent(self.urgent + self.failed.map { Entry(di: $0.key, epoch: $0.value) })
        }
        self.failed = [:]
        self.hasTooManyFailed = false
        return isAll
    }

    /// The store could not take it. It is asked again soon: until the lease is there, nobody sends requests here.
    mutating func renewalFailed(now: NIODeadline) {
        self.isRenewing = false
        self.isReachable = false
        let soon = now + Self.renewalRetry
        self.nextRenewal = min(self.nextRenewal ?? soon, soon)
    }

    /// There is news for the store: the lease is renewed out of turn.
    mutating func renewsNow() {
        self.hasNews = true
    }

    mutating func assertAll(_ entries: [Entry]) {
        self.makeUrgent(entries)
    }

    private mutating func makeUrgent(_ entries: [Entry]) {
        self.urgent = entries.sorted { $0.epoch < $1.epoch }
    }

    /// One more is asserted, out of turn. False if as many are under way as may.
    mutating func startsNow() -> Bool {
        guard self.underWay < Self.maximumUnderWay else { return false }
        self.underWay += 1
        return true
    }

    /// An assertion that `tick` gave out, or `startsNow` allowed, is over.
    mutating func answered() {
        self.underWay -= 1
    }

    /// The same, without an answer of the store.
    mutating func unanswered(_ entry: Entry) {
        self.underWay -= 1
        self.isReachable = false
        self.retry(entry)
    }

    /// To be asserted once the store answers again.
    mutating func retry(_ entry: Entry) {
        guard self.failed.count < Self.maximumFailed || self.failed[entry.di] != nil else {
            self.hasTooManyFailed = true
            return
        }
        self.failed[entry.di] = entry.epoch
    }
}
