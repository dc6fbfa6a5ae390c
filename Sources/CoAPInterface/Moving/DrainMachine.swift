package import NIOCore

/// When which session of a pod that stops is asked to go, without input or output.
///
///     serving ── propagation ─► releasing ── no session left, or the deadline ─► over
///
/// - *serving*: the pod says that it is going, and serves as before, since balancers hear of it late.
/// - *releasing*: sessions go at an even pace over the window, and never more a second than the fleet's share of this
///   pod. Each is tried once while nothing is in flight on it; what was busy then comes after all others, the least
///   busy first, and goes with its requests in flight finishing. Who came after the start comes last. None is left out.
/// - While registry or Redis is away nobody is released: a device that cannot sign in elsewhere is better off here.
///   What could not go in the window goes after it, until the deadline.
package struct DrainMachine: Sendable {
    package struct Settings: Hashable, Sendable {
        /// How long to serve on before the first Release.
        package var propagation: TimeAmount
        /// Over which time the sessions are released; zero: nobody is moved, it is over with the propagation.
        package var window: TimeAmount
        /// How long after the window what was released last may take: its requests in flight, and then the device.
        package var ending: TimeAmount
        /// How many devices a second registry and pods take, of all pods that drain together.
        package var fleetReconnects: Int

        package init(propagation: TimeAmount, window: TimeAmount, ending: TimeAmount, fleetReconnects: Int) {
            self.propagation = propagation
            self.window = window
            self.ending = ending
            self.fleetReconnects = max(1, fleetReconnects)
        }
    }

    package enum Phase: String, Hashable, Sendable {
        case serving, releasing, over
    }

    package enum Action: Hashable, Sendable {
        /// The propagation is over.
        case releasing(sessions: Int)
        /// Move it; `busy` or `left` is to be told of each.
        /// - Parameter isFirm: whatever is in flight on it.
        case move(MovableSession, isFirm: Bool)
        /// The deadline: these are left, and are to be closed.
        case closeRest
        case finished
    }

    private struct Busy {
        let session: MovableSession
        let inFlight: Int
    }

    private let settings: Settings
    private let releasesAt: NIODeadline
    private let windowEnds: NIODeadline
    private let deadline: NIODeadline
    package private(set) var phase = Phase.serving
    /// First in, first out.
    private var untried: [MovableSession]
    private var untriedHead = 0
    /// Those that were busy; the least busy is the last.
    private var busy: [Busy] = []
    private var arrivals: [MovableSession] = []
    private var arrivalsHead = 0
    private var moving: Set<MovableSession> = []
    private var pods = 1
    private var isHealthy = true
    private var lastTick: NIODeadline
    /// Parts of a session that are due.
    private var credit = 0.0

    package init(settings: Settings, sessions: [MovableSession], now: NIODeadline) {
        self.settings = settings
        self.untried = sessions
        self.releasesAt = now + settings.propagation
        self.windowEnds = self.releasesAt + settings.window
        self.deadline = self.windowEnds + settings.ending
        self.lastTick = now
    }

    /// Sessions that were not asked to go so far.
    package var waiting: Int {
        self.untried.count - self.untriedHead + self.busy.count + self.arrivals.count - self.arrivalsHead
    }
    package var movingCount: Int { self.moving.count }

    // MARK: Events

    /// A session began after the start.
    package mutating func arrived(_ session: MovableSession) {
        guard self.phase != .over else { return }
        self.arrivals.append(session)
    }

    /// It has requests in flight: its turn comes later.
    package mutating func busy(_ session: MovableSession, inFlight: Int) {
        guard self.moving.remove(session) != nil else { return }
        self.credit += 1
        self.busy.insert(Busy(session: session, inFlight: inFlight), at: self.place(of: inFlight))
    }

    /// In front of those that are as busy, or less, and wait for longer.
    private func place(of inFlight: Int) -> Int {
        var (low, high) = (0, self.busy.count)
        while low < high {
            let middle = (low + high) / 2
            if self.busy[middle].inFlight > inFlight { low = middle + 1 } else { high = middle }
        }
        return low
    }

    /// The session is over, or was before its turn came.
    /// - Parameter wasReleased: false where it took nobody's turn.
    package mutating func left(_ session: MovableSession, wasReleased: Bool) {
        guard self.moving.remove(session) != nil, !wasReleased else { return }
        self.credit += 1
    }

    /// Whether devices can sign in elsewhere.
    package mutating func healthChanged(_ isHealthy: Bool) {
        self.isHealthy = isHealthy
    }

    /// How many pods drain now, this one among them.
    package mutating func podsChanged(_ pods: Int) {
        self.pods = max(1, pods)
    }

    /// What is due. To be called several times a second.
    /// - Parameter present: sessions in the table, so that one that was never told of does not end the drain.
    package mutating func tick(now: NIODeadline, present: Int) -> [Action] {
        defer { self.lastTick = now }
        var actions: [Action] = []
        switch self.phase {
        case .over:
            return []
        case .serving:
            guard now >= self.releasesAt else { return [] }
            self.phase = .releasing
            actions.append(.releasing(sessions: present))
        case .releasing:
            break
        }
        guard self.settings.window > .zero, present > 0 || !self.moving.isEmpty else {
            self.phase = .over
            return actions + [.finished]
        }
        guard now < self.deadline else {
            self.phase = .over
            return actions + [.closeRest]
        }
        guard self.isHealthy else { return actions }
        return actions + self.due(now)
    }

    private mutating func due(_ now: NIODeadline) -> [Action] {
        let share = Double(self.settings.fleetReconnects) / Double(self.pods)
        // What was not done while the process slept, or a store was away, is no debt.
        let elapsed = min(Self.seconds(now - max(self.lastTick, self.releasesAt)), 1)
        let left = Self.seconds(self.windowEnds - now) + elapsed
        let pace = left > 0 ? min(share, Double(self.waiting) / left) : share
        self.credit = min(self.credit + pace * elapsed, max(share, 1))
        let isLate = now >= self.windowEnds
        var actions: [Action] = []
        while self.credit >= 1, let (session, isFirm) = self.next() {
            self.credit -= 1
            self.moving.insert(session)
            actions.append(.move(session, isFirm: isFirm || isLate))
        }
        return actions
    }

    private mutating func next() -> (MovableSession, isFirm: Bool)? {
        if self.untriedHead < self.untried.count {
            self.untriedHead += 1
            return (self.untried[self.untriedHead - 1], false)
        }
        if let busy = self.busy.popLast() { return (busy.session, true) }
        if self.arrivalsHead < self.arrivals.count {
            self.arrivalsHead += 1
            return (self.arrivals[self.arrivalsHead - 1], false)
        }
        return nil
    }

    private static func seconds(_ time: TimeAmount) -> Double { Double(time.nanoseconds) / 1e9 }
}
