package import Cloud
package import CoAP
package import NIOCore

/// The rules of one connection's identity, without input or output: what may be asked before sign-in, in which order
/// account, session and tokenrefresh run, when a session begins and ends, how long a connection may do without one.
///
/// Requests are passed on in the order of arrival; behind one of the three identity requests the others wait, so a peer
/// may send its sign-in and what needs it in one go. A repeat of an identity request that is still being answered is
/// not asked again: both get the one answer.
package struct SessionMachine: ~Copyable {
    package struct Limits: Hashable, Sendable {
        /// Without a session: how long no request may come.
        package var idle: TimeAmount = .seconds(30)
        /// The same when our last answer was 5.03, since the peer was told to wait.
        package var idleAfterUnavailable: TimeAmount = .seconds(120)
        /// Without a session: how long at all.
        package var unsigned: TimeAmount = .minutes(5)
        /// How many 4.01 of ours a connection may collect without a sign-in in between.
        package var refusals = 10
        /// How many requests may wait behind an identity request.
        package var waiting = 32
        /// How long a session outlives its token while the registry, which would renew it, cannot be reached.
        package var registryGrace: TimeAmount = .minutes(15)
        /// How often it looks whether the registry can be reached again.
        package var registryLook: TimeAmount = .seconds(5)

        package init() {}
    }

    /// What to do with a request.
    package enum RequestAction: Hashable, Sendable {
        case answer(IncomingID, Response)
        /// Ask the registry; its answer goes to `identityAnswered`.
        case identify(IncomingID, Request)
        /// Ask the registry; its answer goes to the peer.
        case direct(IncomingID, Request)
        /// For a device: authorised for the user of the session.
        case relay(IncomingID, Request, Session)
        /// Nothing now.
        case wait
    }

    /// What to do with the registry's answer to an identity request.
    package enum IdentityAction: Hashable, Sendable {
        /// Claim the route, then call `claimed`, and `entered` once it can be reached. The session that was there
        /// before ends.
        case claim(di: DeviceID, uid: UserID, ended: Session?)
        case answer([IncomingID], Response, ended: Session?)
    }

    package enum DeadlineAction: Hashable, Sendable {
        case wait(until: NIODeadline?)
        /// The session's token is over: the connection stays, without a session.
        case expired(Session)
        case close(reason: String)
    }

    private enum Entry: Hashable {
        case identity(Request, [IncomingID])
        case other(IncomingID, Request)
    }

    /// A sign-in the registry has granted, waiting for its epoch. Not a part of the machine: it is there for a moment,
    /// and connections stay.
    private final class Grant: Sendable {
        let di: DeviceID
        let uid: UserID
        let kind: Principal.Kind
        let family: FamilyID?
        let sequence: Int64?
        let expiresAt: NIODeadline?
        let response: Response

        init(
            di: DeviceID, uid: UserID, kind: Principal.Kind, family: FamilyID?, sequence: Int64?,
            expiresAt: NIODeadline?, response: Response
        ) {
            self.di = di
            self.uid = uid
            self.kind = kind
            self.family = family
            self.sequence = sequence
            self.expiresAt = expiresAt
            self.response = response
        }
    }

    private let limits: Limits
    package private(set) var session: Session?
    /// Whether the registry has granted an identity request of this connection.
    package private(set) var wasRecognised = false
    private var pending: (request: Request, ids: [IncomingID])?
    private var grant: Grant?
    private var waiting: [Entry] = []
    private var refusals = 0
    private var unsignedSince: NIODeadline
    private var lastRequest: NIODeadline
    private var wasUnavailable = false

    package init(limits: Limits = Limits(), now: NIODeadline) {
        self.limits = limits
        self.unsignedSince = now
        self.lastRequest = now
    }

    // MARK: Requests

    package mutating func received(_ request: Request, id: IncomingID, now: NIODeadline) -> RequestAction {
        self.lastRequest = now
        let isIdentity = Resource(path: request.options.path ?? []).isIdentity
        if isIdentity, self.join(request, id: id) {
            return .wait
        }
        guard self.pending == nil else {
            guard self.waiting.count < self.limits.waiting else {
                let text = "\(self.limits.waiting) requests of this connection wait for its sign-in"
                return .answer(id, Response(.serviceUnavailable, diagnostic: text, maxAge: 1))
            }
            self.waiting.append(isIdentity ? .identity(request, [id]) : .other(id, request))
            return .wait
        }
        return self.start(isIdentity ? .identity(request, [id]) : .other(id, request))
    }

    /// Adds `id` to an equal request that waits or is being answered. Only the last identity request can be repeated:
    /// one behind another has to run again, since sign-in, sign-out, sign-in must end with a session.
    private mutating func join(_ request: Request, id: IncomingID) -> Bool {
        for (index, entry) in self.waiting.enumerated().reversed() {
            guard case .identity(let last, let ids) = entry else { continue }
            guard last == request else { return false }
            self.waiting[index] = .identity(request, ids + [id])
            return true
        }
        guard self.pending?.request == request else { return false }
        self.pending?.ids.append(id)
        return true
    }

    private mutating func start(_ entry: Entry) -> RequestAction {
        switch entry {
        case .identity(let request, let ids):
            self.pending = (request, ids)
            // An identity request never waits without somebody waiting for it.
            return .identify(ids.first ?? IncomingID(rawValue: 0), request)
        case .other(let id, let request):
            guard let session = self.session else {
                self.refusals += 1
                return .answer(id, Response(.unauthorized, diagnostic: "sign in first: POST /oic/sec/session"))
            }
            switch Resource(path: request.options.path ?? []) {
            case .cloud:
                return .direct(id, request)
            case .device:
                return .relay(id, request, session)
            case .unknown, .account, .session, .tokenRefresh:
                return .answer(id, Response(.notFound, diagnostic: "the cloud has no such resource"))
            }
        }
    }

    /// The next request that waited, once the identity request before it is over. Call until it is nil.
    package mutating func next() -> RequestAction? {
        guard self.pending == nil, !self.waiting.isEmpty else { return nil }
        return self.start(self.waiting.removeFirst())
    }

    /// Whether a sign-up or sign-off is being answered.
    package var isAccountAsked: Bool {
        self.pending.map { Resource(path: $0.request.options.path ?? []) == .account } ?? false
    }

    // MARK: The registry's answers

    package mutating func identityAnswered(_ response: Response, now: NIODeadline) -> IdentityAction {
        // One identity request is under way at a time; an answer without one would be our own mistake.
        guard let pending = self.pending else { return .answer([], response, ended: nil) }
        let path = pending.request.options.path ?? []
        let granted = Self.grant(in: response, now: now)
        if response.code.isSuccess {
            self.wasRecognised = true
            switch Resource(path: path) {
            case .session:
                guard let granted else {
                    // login=false.
                    return self.conclude(response, ended: self.endSession(now: now))
                }
                return self.signIn(granted, now: now)
            case .account where pending.request.method == .delete && Self.names(self.session, in: response):
                return self.conclude(response, ended: self.endSession(now: now))
            case .tokenRefresh where Self.names(self.session, in: response):
                self.session?.expiresAt = Self.expiry(in: response, now: now)
                if let sequence = Self.sequence(in: response) { self.session?.sequence = sequence }
            case .account, .tokenRefresh, .cloud, .device, .unknown:
                break
            }
        }
        return self.conclude(response, ended: nil)
    }

    private mutating func signIn(_ granted: Grant, now: NIODeadline) -> IdentityAction {
        self.refusals = 0
        if let session = self.session, session.di == granted.di, session.uid == granted.uid {
            // A second sign-in on one connection renews its right and nothing else.
            self.session?.expiresAt = granted.expiresAt
            self.session?.family = granted.family
            self.session?.sequence = granted.sequence
            return self.conclude(granted.response, ended: nil)
        }
        self.grant = granted
        return .claim(di: granted.di, uid: granted.uid, ended: self.endSession(now: now))
    }

    /// The route is claimed: here is the session. Its sign-in is answered once others can find it: `entered`.
    package mutating func claimed(epoch: UInt64) -> Session? {
        guard let grant = self.grant, self.pending != nil, self.session == nil else { return nil }
        let session = Session(
            di: grant.di, uid: grant.uid, kind: grant.kind, family: grant.family, sequence: grant.sequence,
            epoch: epoch, expiresAt: grant.expiresAt)
        self.session = session
        return session
    }

    /// The session has begun: what to answer whom.
    package mutating func entered() -> (ids: [IncomingID], response: Response)? {
        guard let grant = self.grant, let ids = self.pending?.ids else { return nil }
        self.grant = nil
        self.pending = nil
        return (ids, grant.response)
    }

    /// The session does not begin: these wait for an answer.
    package mutating func refuseGrant() -> [IncomingID] {
        guard self.grant != nil, let ids = self.pending?.ids else { return [] }
        self.grant = nil
        self.pending = nil
        return ids
    }

    private mutating func conclude(_ response: Response, ended: Session?) -> IdentityAction {
        let ids = self.pending?.ids ?? []
        self.pending = nil
        if response.code == .unauthorized {
            self.refusals += 1
        }
        return .answer(ids, response, ended: ended)
    }

    /// Whether the answer is about the device of this session.
    private static func names(_ session: Session?, in response: Response) -> Bool {
        guard let session else { return false }
        return response.options.all(.sessionDevice).contains { $0.string == session.di.text }
    }

    private static func expiry(in response: Response, now: NIODeadline) -> NIODeadline? {
        response.options.sessionExpiryMilliseconds.map { now + .milliseconds(Int64(clamping: $0)) }
    }

    private static func sequence(in response: Response) -> Int64? {
        response.options.sequence.map { Int64(clamping: $0) }
    }

    private static func grant(in response: Response, now: NIODeadline) -> Grant? {
        guard let di = response.options.sessionDevice.flatMap({ try? DeviceID($0) }),
            let uid = response.options.sessionUser.flatMap({ try? UserID($0) }),
            let kind = response.options.sessionKind.flatMap(Principal.Kind.init(rawValue:))
        else { return nil }
        return Grant(
            di: di, uid: uid, kind: kind, family: response.options.sessionFamily.map(FamilyID.init(stored:)),
            sequence: self.sequence(in: response), expiresAt: self.expiry(in: response, now: now), response: response)
    }

    // MARK: The end of a session

    /// Ends the session, for whatever reason; nil if there was none.
    package mutating func endSession(now: NIODeadline) -> Session? {
        guard let session = self.session else { return nil }
        self.session = nil
        self.unsignedSince = now
        self.lastRequest = now
        self.wasUnavailable = false
        return session
    }

    /// An answer went out. True if the connection has collected too many refusals and is to be closed. Only our own
    /// 4.01 count: a device that lets nobody in says the same, and may be asked as often as a client likes.
    package mutating func answered(_ code: Code) -> Bool {
        self.wasUnavailable = code == .serviceUnavailable
        return self.refusals >= self.limits.refusals
    }

    // MARK: Time

    /// Whether the session's token is over: only then does it matter whether the registry can be reached.
    package func isOver(now: NIODeadline) -> Bool {
        self.session?.expiresAt.map { $0 <= now } ?? false
    }

    /// - Parameter isRegistryUnreachable: nobody can renew a token now.
    package mutating func deadlineReached(now: NIODeadline, isRegistryUnreachable: Bool = false) -> DeadlineAction {
        if let session = self.session {
            guard let expiresAt = session.expiresAt else { return .wait(until: nil) }
            guard expiresAt <= now else { return .wait(until: expiresAt) }
            let last = expiresAt + self.limits.registryGrace
            if isRegistryUnreachable, last > now {
                return .wait(until: min(now + self.limits.registryLook, last))
            }
            _ = self.endSession(now: now)
            return .expired(session)
        }
        let total = self.unsignedSince + self.limits.unsigned
        guard total > now else {
            return .close(reason: "no sign-in within \(self.limits.unsigned.nanoseconds / 1_000_000_000) s")
        }
        // While the registry is asked the peer is not idle.
        guard self.pending == nil else { return .wait(until: total) }
        let allowed = self.wasUnavailable ? self.limits.idleAfterUnavailable : self.limits.idle
        guard self.lastRequest + allowed > now else {
            return .close(reason: "no request within \(allowed.nanoseconds / 1_000_000_000) s, and no session")
        }
        return .wait(until: min(total, self.lastRequest + allowed))
    }
}
