import Cloud
import NIOCore

/// Whether, and how fast, this pod asks devices to move because it has more than its share: without input or output.
///
/// Every pod goes by the same rule and the same counts, and none leads. Nobody is refused for balance: where a blind
/// balancer brings who comes is chance whatever is refused, so a refusal only concentrates the load. What a pod has too
/// many of it releases, a little at a time, and chance spreads them over all.
struct Rebalancing {
    /// Why nothing moves though it might.
    enum Hindrance: String, Hashable, Sendable {
        /// A pod drains: its devices are about to change every share.
        case draining
        /// A store or the registry does not answer: who moves might not come back.
        case unhealthy
        /// Sign-ins wait: who moves would wait too.
        case signInsQueue = "sign-ins-queue"
        /// Those who were released came back: the balancer in front remembers where they were.
        case stickyBalancer = "sticky-balancer"
        /// There is no other pod to move to, or this one is too young to be counted.
        case alone
    }

    /// What the shares looked like at the last look.
    struct View: Hashable, Sendable {
        /// The pods that count.
        var pods = 0
        /// Sessions of a pod if all had the same.
        var mean = 0.0
        /// The greatest distance of a pod from the mean.
        var deviation = 0.0
        /// Sessions of this pod.
        var sessions = 0
        /// Releases a second.
        var rate = 0.0
        var hindrance: Hindrance?
    }

    /// How often the shares are looked at.
    static let look = TimeAmount.seconds(2)
    /// A younger pod is not counted: the balancer may not know of it.
    static let minimumAge = Duration.seconds(10)
    /// An older count is not used.
    static let maximumCountAge = Duration.seconds(5)
    /// A session that did something more recently stays.
    static let idle = TimeAmount.seconds(2)
    /// A session that began more recently stays.
    static let settled = TimeAmount.seconds(60)
    /// A device that was moved more recently stays.
    static let rest = TimeAmount.minutes(10)
    /// Who was released and is not back by then went elsewhere. A device is away for 2–4 s, and signs in again after
    /// a moment more. Nobody is judged before: those who come back would be known sooner than those who do not.
    static let comeback = TimeAmount.seconds(10)
    /// So many of those released last tell whether the balancer is sticky.
    static let sample = 100
    /// More of them than this came back: it is.
    static let stickyAbove = 80
    /// After so long it is tried again: `sample` moves in this time are the price of noticing.
    static let stickyPause = TimeAmount.minutes(10)
    /// Whose comeback is waited for at a time; more than are released in `comeback`.
    private static let maximumAwaited = 10_000

    private let pod: String
    private(set) var view = View()
    private(set) var isOn = false
    private var isOutOnce = false
    private var credit = 0.0
    private var lastDue: NIODeadline?
    /// Who was released, and until when a comeback counts.
    private var released: [(di: DeviceID, until: NIODeadline)] = []
    /// Whether each of them has come back so far.
    private var isBack: [DeviceID: Bool] = [:]
    /// Whether each of those released last came back, the newest last.
    private var comebacks: [Bool] = []
    private var stickyUntil: NIODeadline?

    /// From when on a session that begins now may be moved.
    /// - Parameter movedAgo: how long ago its device was moved.
    static func movableFrom(movedAgo: Duration?, now: NIODeadline) -> NIODeadline {
        let settled = now + Self.settled
        guard let movedAgo else { return settled }
        return max(settled, now + Self.rest - TimeAmount(movedAgo))
    }

    /// - Parameter pod: the name of this pod.
    init(pod: String) {
        self.pod = pod
    }

    // MARK: Shares

    /// Looks at the shares, this pod's own included. Every `look`.
    /// - Parameters:
    ///   - sessions: of this pod, now.
    ///   - hindrance: what the pod itself knows against moving.
    mutating func looked(at shares: [LeasedPod], sessions: Int, hindrance: Hindrance?, now: NIODeadline) {
        self.settle(now: now)
        let counted = shares.filter {
            !$0.isDraining && $0.age >= Self.minimumAge
                && ($0.pod.name == self.pod || $0.countAge <= Self.maximumCountAge)
        }
        let counts = counted.map { Double($0.pod.name == self.pod ? sessions : $0.sessions) }
        let mean = counts.isEmpty ? 0 : counts.reduce(0, +) / Double(counts.count)
        let deviation = counts.map { abs($0 - mean) }.max() ?? 0
        let isOut = deviation > max(0.1 * mean, 3 * mean.squareRoot())
        if self.isOn {
            self.isOn = deviation > max(0.05 * mean, 2 * mean.squareRoot())
        } else {
            self.isOn = isOut && self.isOutOnce
        }
        self.isOutOnce = isOut
        self.view = View(
            pods: counts.count, mean: mean, deviation: deviation, sessions: sessions,
            hindrance: self.hindrance(shares, counted, hindrance))
        let excess = Double(sessions) - mean
        guard self.isOn, self.view.hindrance == nil, excess > 0 else { return }
        self.view.rate = min(excess / 10, 0.02 * Double(sessions), 500 / Double(counts.count))
    }

    private func hindrance(_ shares: [LeasedPod], _ counted: [LeasedPod], _ known: Hindrance?) -> Hindrance? {
        if shares.contains(where: \.isDraining) { return .draining }
        if let known { return known }
        if self.stickyUntil != nil { return .stickyBalancer }
        return counted.count > 1 && counted.contains { $0.pod.name == self.pod } ? nil : .alone
    }

    // MARK: Releases

    /// How many sessions are to be released now. What finds no session to release is not made up for later.
    mutating func due(now: NIODeadline) -> Int {
        // After a pause of this process there is no hurry: at most a second's worth at once.
        let elapsed = min(self.lastDue.map { Double((now - $0).nanoseconds) / 1e9 } ?? 0, 1)
        self.lastDue = now
        guard self.view.rate > 0 else {
            self.credit = 0
            return 0
        }
        self.credit += self.view.rate * elapsed
        let number = Int(self.credit)
        self.credit -= Double(number)
        return number
    }

    /// A device was released for balance.
    mutating func releases(_ di: DeviceID, now: NIODeadline) {
        guard self.released.count < Self.maximumAwaited else { return }
        self.released.append((di, now + Self.comeback))
        self.isBack[di] = false
    }

    /// A device has signed in here.
    mutating func signedIn(_ di: DeviceID) {
        guard self.isBack[di] != nil else { return }
        self.isBack[di] = true
    }

    private mutating func settle(now: NIODeadline) {
        if let until = self.stickyUntil, until <= now { self.stickyUntil = nil }
        let over = self.released.prefix { $0.until <= now }
        for (di, _) in over {
            // Released twice meanwhile it counts once.
            guard let isBack = self.isBack.removeValue(forKey: di) else { continue }
            self.comebacks.append(isBack)
        }
        self.released.removeFirst(over.count)
        self.comebacks.removeFirst(max(0, self.comebacks.count - Self.sample))
        guard self.comebacks.count == Self.sample, self.comebacks.count(where: { $0 }) > Self.stickyAbove else {
            return
        }
        self.comebacks = []
        self.stickyUntil = now + Self.stickyPause
    }
}
