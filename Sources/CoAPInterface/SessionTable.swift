package import Cloud
package import CoAP
import CoAPTransport
import NIOCore
import Synchronization

/// The way to one session from anywhere.
final class SessionHandle: Sendable {
    let session: Session
    let connection: NIOLoopBound<DeviceConnection>
    /// Before that it is not moved for balance.
    let movableFrom: NIODeadline

    init(session: Session, connection: NIOLoopBound<DeviceConnection>, movableFrom: NIODeadline) {
        self.session = session
        self.connection = connection
        self.movableFrom = movableFrom
    }
}

/// The sessions of this process, by device: the truth about who is connected here.
///
/// As a `Responder` it delivers requests for `/{di}/…` to the session of that device, or says `Undelivered`. It waits
/// for nobody and asks nobody else.
package final class SessionTable: Responder, SessionEnder {
    /// What becomes of a new session.
    enum Entrance: Hashable {
        case entered(tookOver: Bool)
        /// Another one, here or in another pod, is newer.
        case beaten
        /// The right to it was taken away while it was being granted.
        case revoked
    }

    /// What a takeover notice found.
    enum Superseded: Hashable {
        case ended
        case nothing
        /// The session here is the newer one.
        case newer
    }

    /// Sign-ins of one device that wait for their epoch.
    fileprivate struct Claims {
        var count = 0
        /// The newest session elsewhere that was heard of meanwhile.
        var beatenBy: (epoch: UInt64, pod: String)?
        /// Requests that came for the session that is about to begin, in their order.
        var early: [EarlyRequest] = []
        /// Nothing is kept any more.
        var isDelayed = false
    }

    fileprivate struct EarlyRequest: Sendable {
        let request: Request
        let deadline: NIODeadline?
        let answer: @Sendable (Response) -> Void
    }

    fileprivate struct State {
        var sessions: [DeviceID: SessionHandle] = [:]
        var families: [FamilyID: DeviceID] = [:]
        var claims: [DeviceID: Claims] = [:]
        var revocations = Revocations()
    }

    private enum Attempt {
        case over(Entrance)
        case occupied(by: SessionHandle)
    }

    /// So many requests are kept for a session that is about to begin, as many as would wait for it then.
    private static let maximumEarly = 64

    private let state = Mutex(State())

    package init() {}

    /// How many sessions there are.
    package var count: Int { self.state.withLock { $0.sessions.count } }

    /// The logins of every session, for whoever missed changes up to `sequence` and asks which of them still stand.
    ///
    /// A sign-in on its way is not among them, so nobody will ask about it: if it was granted before those changes it
    /// begins no session any more.
    package func logins(missedUpTo sequence: Int64) -> [Login] {
        self.state.withLock { state in
            state.revocations.add(missedUpTo: sequence)
            return state.sessions.values.map {
                Login(uid: $0.session.uid, di: $0.session.di, family: $0.session.family)
            }
        }
    }

    /// The devices and clients of a user that have a session here.
    package func connected(of uid: UserID) -> [DeviceID] {
        self.state.withLock { state in
            state.sessions.values.filter { $0.session.uid == uid }.map(\.session.di)
        }
    }

    func handles() -> [SessionHandle] {
        self.state.withLock { Array($0.sessions.values) }
    }

    /// Some sessions of devices, at random, that may be moved for balance by their age.
    func sample(_ count: Int, now: NIODeadline) -> [SessionHandle] {
        var chosen: [SessionHandle] = []
        var seen = 0
        for handle in self.handles() where handle.session.kind == .device && handle.movableFrom <= now {
            seen += 1
            if chosen.count < count {
                chosen.append(handle)
            } else {
                let place = Int.random(in: 0..<seen)
                if place < count { chosen[place] = handle }
            }
        }
        return chosen.shuffled()
    }

    func find(_ di: DeviceID) -> SessionHandle? {
        self.state.withLock { $0.sessions[di] }
    }

    // MARK: Beginning

    /// To be noted before the registry is asked for a sign-in, for `enter`.
    var revision: UInt64 { self.state.withLock { $0.revocations.revision } }

    /// A sign-in begins to wait for its epoch. Takeovers that are heard of from here on count for it.
    func claimBegan(_ di: DeviceID) {
        self.state.withLock { $0.claims[di, default: Claims()].count += 1 }
    }

    /// Its session has begun, or will not. Called on the event loop of the session, if it has begun.
    func claimEnded(_ di: DeviceID) {
        let (early, handle) = self.state.withLock { state -> ([EarlyRequest], SessionHandle?) in
            guard let claims = state.claims[di] else { return ([], nil) }
            // Requests are for devices, never for a client that signs in by this name.
            let handle = state.sessions[di].flatMap { $0.session.kind == .device ? $0 : nil }
            if claims.count > 1 {
                // Whoever claims at the same time may do so for long: nobody waits for that.
                state.claims[di]?.count -= 1
                state.claims[di]?.early = []
            } else {
                state.claims[di] = nil
            }
            return (claims.early, handle)
        }
        self.release(early, to: handle)
    }

    /// A claim takes longer than it does by itself: what came early is given back, and nothing more is kept for it.
    func claimDelayed(_ di: DeviceID) {
        let early = self.state.withLock { state -> [EarlyRequest] in
            state.claims[di]?.isDelayed = true
            defer { state.claims[di]?.early = [] }
            return state.claims[di]?.early ?? []
        }
        self.release(early, to: nil)
    }

    private func release(_ early: [EarlyRequest], to handle: SessionHandle?) {
        for request in early {
            if let handle {
                self.relay(request, to: handle)
            } else {
                request.answer(Relay.moving())
            }
        }
    }

    private func relay(_ request: EarlyRequest, to handle: SessionHandle) {
        handle.connection.onLoop {
            $0.relay(request.request, to: handle.session.di, deadline: request.deadline, answer: request.answer)
        }
    }

    func isClaiming(_ di: DeviceID) -> Bool {
        self.state.withLock { $0.claims[di] != nil }
    }

    /// Enters a session. The newest wins (greatest epoch): an older one is ended first, on its own event loop, so that
    /// nothing is written to it any more once the new one can be reached; what waited for it goes to the new one.
    /// - Parameters:
    ///   - askedAt: the revision before the registry was asked. A registration that was deleted after the registry
    ///     looked, and before the session is here to be ended, would leave a session without a right.
    ///   - pod: the name of this pod.
    ///   - entered: called once, on any thread.
    func enter(
        _ handle: SessionHandle, askedAt: UInt64, pod: String, entered: @escaping @Sendable (Entrance) -> Void
    ) {
        self.enter(handle, over: nil, askedAt: askedAt, pod: pod, entered: entered)
    }

    private func enter(
        _ handle: SessionHandle, over ended: UInt64?, askedAt: UInt64, pod: String,
        entered: @escaping @Sendable (Entrance) -> Void
    ) {
        switch self.attempt(handle, over: ended, askedAt: askedAt, pod: pod) {
        case .over(let entrance):
            entered(entrance)
        case .occupied(let other):
            other.connection.onLoop { connection in
                connection.supersede(other.session) {
                    self.enter(
                        handle, over: other.session.epoch, askedAt: askedAt, pod: pod, entered: entered)
                }
            }
        }
    }

    private func attempt(_ handle: SessionHandle, over ended: UInt64?, askedAt: UInt64, pod: String) -> Attempt {
        self.state.withLock { state in
            let session = handle.session
            if state.revocations.hit(session, askedAt: askedAt) { return .over(.revoked) }
            if let winner = state.claims[session.di]?.beatenBy, winner > (session.epoch, pod) {
                return .over(.beaten)
            }
            if let other = state.sessions[session.di], other.session.epoch != ended {
                return other.session.epoch > session.epoch ? .over(.beaten) : .occupied(by: other)
            }
            state.put(handle)
            return .over(.entered(tookOver: ended != nil))
        }
    }

    /// The session was renewed by another sign-in on its connection. False if the right to that was taken away.
    func renew(_ handle: SessionHandle, askedAt: UInt64) -> Bool {
        self.state.withLock { state in
            guard !state.revocations.hit(handle.session, askedAt: askedAt) else { return false }
            guard state.sessions[handle.session.di]?.session.epoch == handle.session.epoch else { return true }
            state.put(handle)
            return true
        }
    }

    // MARK: The end

    /// Takes a session out, if it is still the one that counts.
    func leave(_ session: Session) {
        self.state.withLock { state in
            guard state.sessions[session.di]?.session.epoch == session.epoch else { return }
            state.remove(session.di)
        }
    }

    /// Another pod has a session of the device: one with a smaller epoch ends here, and so does a sign-in that gets
    /// one.
    /// - Parameter done: called once, on any thread, when nothing can be written any more to what was ended.
    func supersede(
        _ di: DeviceID, by winner: (epoch: UInt64, pod: String), pod: String,
        done: @escaping @Sendable (Superseded) -> Void
    ) {
        let handle = self.state.withLock { state in
            if let claims = state.claims[di], (claims.beatenBy ?? (0, "")) < winner {
                state.claims[di]?.beatenBy = winner
            }
            return state.sessions[di]
        }
        guard let handle else { return done(.nothing) }
        guard (handle.session.epoch, pod) < winner else { return done(.newer) }
        handle.connection.onLoop { connection in
            connection.supersede(handle.session) {}
            done(.ended)
        }
    }

    package func end(_ devices: [DeviceID], reason: String) async {
        self.endNow(devices, reason: reason)
    }

    /// The same without waiting for anything.
    package func endNow(_ devices: [DeviceID], reason: String) {
        for di in devices {
            self.revoke(.device(di), sequence: nil, reason: reason)
        }
    }

    package func end(_ change: Change) async {
        self.endNow(change)
    }

    /// Ends every session that the change took the right from, without waiting for anything.
    package func endNow(_ change: Change) {
        switch change.kind {
        case .device, .client:
            let di = DeviceID(stored: change.subject)
            self.revoke(.device(di), sequence: change.sequence, reason: change.kind.endReason)
        case .user:
            let uid = UserID(stored: change.subject)
            self.revoke(.user(uid), sequence: change.sequence, reason: change.kind.endReason)
        case .family:
            let family = FamilyID(stored: change.subject)
            self.revoke(.family(family), sequence: change.sequence, reason: change.kind.endReason)
        case .mediator:
            // Mediators have no sessions here.
            break
        }
    }

    /// Notes that the right is gone, and ends the sessions that had it.
    private func revoke(_ subject: Revocations.Subject, sequence: Int64?, reason: String) {
        let found = self.state.withLock { state in
            state.revocations.add(subject, sequence: sequence)
            switch subject {
            case .device(let di):
                return [state.sessions[di]].compactMap { $0 }
            case .family(let family):
                return [state.families[family].flatMap { state.sessions[$0] }].compactMap { $0 }
            case .user(let uid):
                return state.sessions.values.filter { $0.session.uid == uid }
            }
        }
        for handle in found where handle.session.isHit(by: sequence) {
            handle.connection.onLoop { $0.revoke(handle.session, reason: reason) }
        }
    }

    // MARK: Requests

    package func respond(to request: Request, answer: @escaping @Sendable (Response) -> Void) {
        switch self.target(of: request, answer: answer) {
        case .refused(let response):
            answer(response)
        case .session(let handle, let deadline):
            self.relay(EarlyRequest(request: request, deadline: deadline, answer: answer), to: handle)
        case .early:
            break
        }
    }

    package func observe(
        _ request: Request, event: @escaping @Sendable (ObservationEvent) -> Void
    ) -> ObservationHandle {
        switch self.target(of: request) {
        case .refused(let response):
            event(.ended(response))
            return ObservationHandle {}
        case .early:
            return ObservationHandle {}
        case .session(let handle, let deadline):
            let observer = Observer(event: event)
            handle.connection.onLoop {
                $0.observe(request, of: handle.session.di, deadline: deadline, by: observer)
            }
            return ObservationHandle {
                observer.cancel()
                handle.connection.onLoop { $0.stopObserving(observer) }
            }
        }
    }

    private enum Target {
        case session(SessionHandle, deadline: NIODeadline?)
        /// Kept until the session has begun.
        case early
        case refused(Response)
    }

    /// - Parameter answer: what to call later, if the request may be kept.
    private func target(of request: Request, answer: (@Sendable (Response) -> Void)? = nil) -> Target {
        guard let di = request.options.first(.uriPath)?.string.flatMap({ try? DeviceID($0) }) else {
            return .refused(Relay.offline())
        }
        // Counted from here: it may have to wait for its event loop.
        let deadline = request.options.deadlineMilliseconds.map { NIODeadline.now() + .milliseconds(Int64($0)) }
        return self.state.withLock { state in
            if let handle = state.sessions[di], handle.session.kind == .device {
                return .session(handle, deadline: deadline)
            }
            guard let claims = state.claims[di] else { return .refused(Relay.offline()) }
            // An edge hears of a claim when this pod does, so the first requests may be here before the session is.
            // Were they refused, those behind them would overtake them.
            guard let answer, !claims.isDelayed, claims.early.count < Self.maximumEarly else {
                return .refused(Relay.moving())
            }
            state.claims[di]?.early.append(EarlyRequest(request: request, deadline: deadline, answer: answer))
            return .early
        }
    }
}

extension SessionTable.State {
    fileprivate mutating func put(_ handle: SessionHandle) {
        let di = handle.session.di
        self.remove(di)
        self.sessions[di] = handle
        if let family = handle.session.family { self.families[family] = di }
    }

    fileprivate mutating func remove(_ di: DeviceID) {
        guard let old = self.sessions.removeValue(forKey: di), let family = old.session.family,
            self.families[family] == di
        else { return }
        self.families[family] = nil
    }
}
