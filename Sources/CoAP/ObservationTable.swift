/// Who observes what by way of an intermediary, without input or output: one upstream observation for all who ask the
/// same, fanned out to them (OCF CNC §8.2; RFC 7641 §5). A device's pod has one, and so has each edge.
///
///     first joins ─► asked ─► observed ─► over
///                      │          │        ▲
///                      └──────────┴────────┘  the device ends it, the session ends, the last observer leaves
///
/// What makes two requests the same is what a cache would compare (RFC 7252 §5.6): every option that is part of the
/// cache key. Bounded in upstream observations and in observers.
package struct ObservationTable {
    package struct Limits: Hashable, Sendable {
        /// What is observed upstream at a time.
        package var upstream: Int
        /// Who is told, of all of these together.
        package var observers: Int

        /// The default is for one device.
        package init(upstream: Int = 64, observers: Int = 1024) {
            self.upstream = upstream
            self.observers = observers
        }
    }

    /// Names one upstream observation; never used twice.
    package struct UpstreamID: Hashable, Sendable {
        package let rawValue: UInt64

        package init(rawValue: UInt64) {
            self.rawValue = rawValue
        }
    }

    /// Names one observer, as its caller counts them.
    package typealias ObserverID = UInt64

    package enum JoinAction: Hashable, Sendable {
        /// Send this upstream, and give its events to `heard`.
        case begin(UpstreamID, Request)
        /// The device was asked, and has not answered.
        case wait
        /// What the device said last is the first answer.
        case tell(Response)
        /// No room: the request is to be answered once.
        case full
    }

    package enum EventAction: Hashable, Sendable {
        case tell([ObserverID], Response)
        case end([ObserverID], Response)
        case nothing
    }

    package enum LeaveAction: Hashable, Sendable {
        case nothing
        /// Nobody is left.
        case cancel(UpstreamID)
    }

    private struct Upstream {
        let key: Options
        /// In the order they came.
        var observers: [ObserverID]
        var last: Response?
        let isShared: Bool
        var isOpen = true
    }

    private let limits: Limits
    private var upstreams: [UpstreamID: Upstream] = [:]
    private var keys: [Options: UpstreamID] = [:]
    private var observers: [ObserverID: UpstreamID] = [:]
    private var next: UInt64 = 0

    package init(limits: Limits = Limits()) {
        self.limits = limits
    }

    package var upstreamCount: Int { self.upstreams.count }
    package var observerCount: Int { self.observers.count }
    package func has(_ id: UpstreamID) -> Bool { self.upstreams[id] != nil }
    /// What the device said last.
    package func last(of id: UpstreamID) -> Response? { self.upstreams[id]?.last }

    // MARK: Observers

    /// - Parameters:
    ///   - request: as upstream is to see it, without Observe, and without what does not matter to the answer.
    ///   - isShared: false where what is said last may be a part of the whole only: whoever comes later has to be told
    ///     of all, so each gets an observation of its own.
    ///   - observer: not in the table yet.
    package mutating func join(_ request: Request, isShared: Bool = true, as observer: ObserverID) -> JoinAction {
        guard self.observers.count < self.limits.observers else { return .full }
        let key = Self.key(of: request)
        if isShared, let id = self.keys[key] {
            self.upstreams[id]?.observers.append(observer)
            self.observers[observer] = id
            return self.upstreams[id]?.last.map { .tell($0) } ?? .wait
        }
        guard self.upstreams.count < self.limits.upstream else { return .full }
        self.next += 1
        let id = UpstreamID(rawValue: self.next)
        if isShared { self.keys[key] = id }
        self.upstreams[id] = Upstream(key: key, observers: [observer], last: nil, isShared: isShared)
        self.observers[observer] = id
        var options = key
        options.observe = 0
        return .begin(id, Request(request.method, options: options))
    }

    /// An observer has gone, or was never here.
    package mutating func leave(_ observer: ObserverID) -> LeaveAction {
        guard let id = self.observers.removeValue(forKey: observer) else { return .nothing }
        self.upstreams[id]?.observers.removeAll { $0 == observer }
        guard let upstream = self.upstreams[id], upstream.observers.isEmpty else { return .nothing }
        self.remove(id, upstream)
        return .cancel(id)
    }

    private mutating func remove(_ id: UpstreamID, _ upstream: Upstream) {
        self.upstreams[id] = nil
        if self.keys[upstream.key] == id { self.keys[upstream.key] = nil }
    }

    // MARK: Upstream

    /// Whether others may join: not while it is in doubt whether what was said last still holds. Who comes then begins
    /// another one, and finds out.
    package mutating func setOpen(_ isOpen: Bool, _ id: UpstreamID) {
        guard let upstream = self.upstreams[id], upstream.isOpen != isOpen else { return }
        self.upstreams[id]?.isOpen = isOpen
        if isOpen, upstream.isShared, self.keys[upstream.key] == nil { self.keys[upstream.key] = id }
        if !isOpen, self.keys[upstream.key] == id { self.keys[upstream.key] = nil }
    }

    /// The device has answered, or its connection says why it has not: as an end.
    package mutating func heard(_ event: ObservationEvent, of id: UpstreamID) -> EventAction {
        guard let upstream = self.upstreams[id] else { return .nothing }
        switch event {
        case .notified(let response):
            self.upstreams[id]?.last = response.compacted()
            return .tell(upstream.observers, response)
        case .ended(let response):
            self.remove(id, upstream)
            for observer in upstream.observers { self.observers[observer] = nil }
            return .end(upstream.observers, response)
        }
    }

    /// The session is over: so is every observation.
    /// - Returns: whom to tell, in the order of their observations.
    package mutating func endAll() -> (observers: [ObserverID], upstreams: [UpstreamID]) {
        let ids = self.upstreams.keys.sorted { $0.rawValue < $1.rawValue }
        let observers = ids.flatMap { self.upstreams[$0]?.observers ?? [] }
        self.upstreams = [:]
        self.keys = [:]
        self.observers = [:]
        return (observers, ids)
    }

    /// ETag is left out as well: it would make the first answer depend on what one of the observers already has
    /// (RFC 7641 §3.3.1 leaves it to the client to send any).
    private static func key(of request: Request) -> Options {
        var options = request.options
        options.removeAll { $0.isNoCacheKey || $0 == .observe || $0 == .eTag }
        return options.compacted()
    }
}
