import NIOCore

/// Decides when which request goes out on which connection, and when connections are opened and closed. An open loop:
/// requests fall due by the clock, whatever became of those before. Nothing is sent twice, and no connection has two
/// requests at a time. Does no input or output.
package struct TrafficMachine {
    /// What is to be done next.
    package enum Action: Sendable, Hashable {
        case open(connection: Int)
        case send(TrafficRequest, connection: Int)
        /// Nothing that happens to it later is of interest.
        case close(connection: Int)
        case over(TrafficExchange)
    }

    private enum Connection {
        /// Since when, and for which request; none if it only makes up the minimum.
        case opening(Int64, TrafficRequest?)
        case idle
        case busy(Int64, TrafficRequest)
    }

    /// How often patience and surplus are looked at.
    private static let sweepNanoseconds: Int64 = 100_000_000

    private let plan: TrafficPlan
    private var schedule: TrafficSchedule
    private var actions = CircularBuffer<Action>()
    private var connections: [Int: Connection] = [:]
    /// Connections that came to nothing or never carried an answer say that nobody is there.
    private var proven: Set<Int> = []
    /// Who is idle and who opens for nobody, the longest first; who is not so any more is passed over.
    private var idle = CircularBuffer<Int>()
    private var opening = CircularBuffer<Int>()
    private var waiting = CircularBuffer<TrafficRequest>()
    private var idleCount = 0
    /// The fewest idle connections since `windowStart`: so many were not needed.
    private var leastIdle = 0
    private var windowStart: Int64
    private var nextSweep: Int64
    /// No connection is opened for no request before.
    private var refillAt = Int64.min
    private var isStopping = false
    package private(set) var figures = Figures()

    package struct Figures: Sendable, Hashable {
        package var due = 0
        package var begun = 0
        package var inFlight = 0
        package var connections = 0
        package var mostConnections = 0
        /// Connections opened in all, and those of them that nobody took.
        package var opened = 0
        package var failed = 0
        package var waiting = 0
        package var mostWaiting = 0
    }

    package init(_ plan: TrafficPlan, now: Int64) {
        self.plan = plan
        self.schedule = TrafficSchedule(plan, start: now)
        self.windowStart = now
        self.nextSweep = now
    }

    /// What is to be done, one after the other, until nil.
    package mutating func next() -> Action? { self.actions.popFirst() }

    /// When `tick` is due.
    package var nextTick: Int64 { self.isStopping ? self.nextSweep : min(self.schedule.next, self.nextSweep) }

    /// All that was begun is over.
    package var isOver: Bool { self.isStopping && self.connections.isEmpty }

    // MARK: - What happens

    package mutating func tick(now: Int64) {
        if !self.isStopping { self.begin(now: now) }
        guard now >= self.nextSweep else { return }
        self.nextSweep = now + Self.sweepNanoseconds
        self.breakLate(now: now)
        self.closeSurplus(now: now)
        self.forgetPassed()
        self.refill(now: now)
    }

    package mutating func opened(_ number: Int, now: Int64) {
        guard case .opening(_, let request)? = self.connections[number] else { return }
        if let request {
            self.send(request, number, now: now)
        } else {
            self.becomeFree(number, now: now)
        }
    }

    /// A connection that was to be opened could not.
    package mutating func failed(_ number: Int, now: Int64) {
        guard case .opening(let since, let request)? = self.connections[number] else { return }
        self.figures.failed += 1
        self.refillAt = now + self.plan.pause.nanoseconds
        self.remove(number)
        if let request {
            self.begun()
            self.over(request, begin: since, number, .broken(.refused), now: now)
        }
        self.refill(now: now)
    }

    /// - Parameter staysOpen: the answer did not say that it is the connection's last (RFC 9112 §9.6).
    package mutating func answered(_ number: Int, _ answer: TrafficAnswer, staysOpen: Bool, now: Int64) {
        guard case .busy(let begin, let request)? = self.connections[number] else { return }
        self.over(request, begin: begin, number, .answered(answer), now: now)
        if staysOpen, !self.isStopping {
            self.proven.insert(number)
            self.becomeFree(number, now: now)
        } else {
            self.close(number)
            self.refill(now: now)
        }
    }

    /// - Parameter hasBegun: the first byte of the answer was there.
    package mutating func closed(_ number: Int, hasBegun: Bool, now: Int64) {
        guard let connection = self.connections[number] else { return }
        if !self.proven.contains(number) { self.refillAt = now + self.plan.pause.nanoseconds }
        self.remove(number)
        switch connection {
        case .busy(let begin, let request):
            self.over(request, begin: begin, number, .broken(hasBegun ? .cut : .closed), now: now)
        case .idle:
            self.idleCount -= 1
            self.leastIdle = min(self.leastIdle, self.idleCount)
        case .opening(let since, let request):
            // Unspecified: open and closed at once, before anybody was told.
            if let request {
                self.begun()
                self.over(request, begin: since, number, .broken(.closed), now: now)
            }
        }
        self.refill(now: now)
    }

    /// Nothing more falls due; what is in flight goes on to its end.
    package mutating func stop(now: Int64) {
        guard !self.isStopping else { return }
        self.begin(now: now)
        self.isStopping = true
        self.waiting.removeAll()
        self.figures.waiting = 0
        for (number, connection) in self.connections {
            switch connection {
            case .idle, .opening(_, nil): self.close(number)
            case .opening, .busy: break
            }
        }
        self.idleCount = 0
    }

    // MARK: - Requests

    /// What is due by now.
    private mutating func begin(now: Int64) {
        while let request = self.schedule.take(now: now) {
            self.figures.due += 1
            self.place(request, now: now)
        }
    }

    private mutating func place(_ request: TrafficRequest, now: Int64) {
        if let number = self.takeIdle() {
            self.send(request, number, now: now)
        } else if let number = self.takeOpening() {
            if case .opening(let since, _)? = self.connections[number] {
                self.connections[number] = .opening(since, request)
            }
        } else if self.connections.count < self.plan.maximumConnections {
            self.open(for: request, now: now)
        } else if self.waiting.count < self.plan.maximumWaiting {
            self.waiting.append(request)
            self.countWaiting()
        }
    }

    private mutating func send(_ request: TrafficRequest, _ number: Int, now: Int64) {
        self.connections[number] = .busy(now, request)
        self.begun()
        self.actions.append(.send(request, connection: number))
    }

    private mutating func begun() {
        self.figures.begun += 1
        self.figures.inFlight += 1
    }

    private mutating func over(
        _ request: TrafficRequest, begin: Int64, _ number: Int, _ outcome: TrafficEnd, now: Int64
    ) {
        self.figures.inFlight -= 1
        self.actions.append(
            .over(TrafficExchange(request: request, begin: begin, end: now, connection: number, outcome: outcome)))
    }

    private mutating func countWaiting() {
        self.figures.waiting = self.waiting.count
        self.figures.mostWaiting = max(self.figures.mostWaiting, self.waiting.count)
    }

    private mutating func breakLate(now: Int64) {
        for (number, connection) in self.connections {
            guard case .busy(let begin, let request) = connection, now - begin >= self.plan.patience.nanoseconds else {
                continue
            }
            self.over(request, begin: begin, number, .broken(.late), now: now)
            self.close(number)
        }
    }

    // MARK: - Connections

    /// A connection can take a request: one that waits, or whichever comes.
    private mutating func becomeFree(_ number: Int, now: Int64) {
        if let request = self.waiting.popFirst() {
            self.countWaiting()
            return self.send(request, number, now: now)
        }
        self.connections[number] = .idle
        self.idle.append(number)
        self.idleCount += 1
    }

    private mutating func takeIdle() -> Int? {
        while let number = self.idle.popFirst() {
            guard case .idle? = self.connections[number] else { continue }
            self.idleCount -= 1
            self.leastIdle = min(self.leastIdle, self.idleCount)
            return number
        }
        return nil
    }

    private mutating func takeOpening() -> Int? {
        while let number = self.opening.popFirst() {
            guard case .opening(_, nil)? = self.connections[number] else { continue }
            return number
        }
        return nil
    }

    private mutating func open(for request: TrafficRequest?, now: Int64) {
        self.figures.opened += 1
        let number = self.figures.opened
        self.connections[number] = .opening(now, request)
        self.figures.connections = self.connections.count
        self.figures.mostConnections = max(self.figures.mostConnections, self.connections.count)
        if request == nil { self.opening.append(number) }
        self.actions.append(.open(connection: number))
    }

    /// Opens connections for who waits, and up to the minimum.
    private mutating func refill(now: Int64) {
        guard !self.isStopping else { return }
        while self.connections.count < self.plan.maximumConnections, let request = self.waiting.popFirst() {
            self.countWaiting()
            self.open(for: request, now: now)
        }
        guard now >= self.refillAt else { return }
        while self.connections.count < self.plan.minimumConnections { self.open(for: nil, now: now) }
    }

    /// Those beyond the minimum that were not needed for the whole window.
    private mutating func closeSurplus(now: Int64) {
        guard now - self.windowStart >= self.plan.idle.nanoseconds else { return }
        let surplus = min(self.leastIdle, self.connections.count - self.plan.minimumConnections)
        for _ in 0..<max(surplus, 0) {
            guard let number = self.takeIdle() else { break }
            self.close(number)
        }
        self.windowStart = now
        self.leastIdle = self.idleCount
    }

    /// Bounds the two lists: of those that are passed over, none stays for long.
    private mutating func forgetPassed() {
        if self.idle.count > 2 * self.plan.maximumConnections {
            self.idle = CircularBuffer(
                self.idle.filter { if case .idle? = self.connections[$0] { true } else { false } })
        }
        if self.opening.count > 2 * self.plan.maximumConnections {
            self.opening = CircularBuffer(
                self.opening.filter { if case .opening(_, nil)? = self.connections[$0] { true } else { false } })
        }
    }

    private mutating func close(_ number: Int) {
        self.remove(number)
        self.actions.append(.close(connection: number))
    }

    private mutating func remove(_ number: Int) {
        self.connections[number] = nil
        self.proven.remove(number)
        self.figures.connections = self.connections.count
    }
}

extension Duration {
    var nanoseconds: Int64 { Int64(self / .nanoseconds(1)) }
}
