import Cloud
import CoAP
import CoAPTransport
import Edge
import Logging
import NIOCore
import ServiceShell
import Synchronization

/// What a sign-in comes to.
enum ClaimVerdict: Hashable, Sendable {
    /// - Parameter fenceRevision: up to which pause the session counts as confirmed.
    case begin(RouteTicket, fenceRevision: UInt64)
    /// Another peer holds the device, and is alive.
    case contested
}

/// The right to begin a session under an epoch.
struct RouteTicket: Hashable, Sendable {
    let di: DeviceID
    let epoch: UInt64
    /// Whether the store has the route.
    let isWritten: Bool
    /// Whose route it was.
    let displaced: Route?
    /// How long ago a pod asked the device to go elsewhere; nil if none did lately, or nobody knows.
    let movedAgo: Duration?
}

extension RouteKeeper {
    /// Gets an epoch for a sign-in, within `RouteTimes.claimLimit` unless the device is contested.
    ///
    /// Whoever gets a ticket calls `began` or `abandon` with it; whatever the verdict, `SessionTable.claimEnded` is for
    /// the caller to call when it is done with it.
    /// - Parameters:
    ///   - peer: the other end of the connection, for people.
    ///   - eventLoop: the connection's. Called there.
    ///   - completion: called once, there.
    func claim(
        _ di: DeviceID, uid: UserID, peer: String, on eventLoop: any EventLoop,
        completion: @escaping @Sendable (ClaimVerdict) -> Void
    ) {
        self.sessions.claimBegan(di)
        let run = ClaimRun(
            keeper: self, di: di, uid: uid, peer: peer, eventLoop: eventLoop, completion: completion)
        run.start()
    }

    /// The session of a ticket is in the table.
    func began(_ ticket: RouteTicket) {
        let entry = RouteSweep.Entry(di: ticket.di, epoch: ticket.epoch)
        let listeners = self.state.withLock { state in
            state.sweep.entered(entry, isWritten: ticket.isWritten)
            return state.listeners
        }
        for heard in listeners { heard(MovableSession(di: ticket.di, epoch: ticket.epoch)) }
    }

    /// Tells a device's owner that it has a session now.
    func noteSignedIn(_ session: Session, peer: String) {
        self.note(.deviceSignedIn, session, "signed in from \(peer)")
    }

    /// The same that it has none any more, here or elsewhere.
    func noteSignedOut(_ session: Session, _ text: String) {
        self.note(.deviceSignedOut, session, text)
    }

    private func note(_ kind: OwnerEvent.Kind, _ session: Session, _ text: String) {
        guard session.kind == .device else { return }
        self.events?.append(
            OwnerEvent(kind: kind, di: session.di, at: self.clock.now(), text: text), of: session.uid)
    }

    /// The session of a ticket does not begin. Whoever had the route may have it back.
    func abandon(_ ticket: RouteTicket) {
        self.routes.drop(ticket.di, pod: self.pod, epoch: ticket.epoch)
        if let displaced = ticket.displaced, displaced.pod != self.pod {
            self.tell(displaced.pod, of: ticket.di, epoch: 0)
        }
        self.assertNow(ticket.di)
    }

    /// The store has answered a claim whose session began without it, under an epoch of the pod's own: the route is
    /// that session's, or that of whoever signed in after it.
    fileprivate func late(_ claim: RouteClaim) {
        let di = claim.route.di
        self.routes.drop(di, pod: self.pod, epoch: claim.route.epoch)
        let session = self.sessions.find(di)?.session
        if let displaced = claim.displaced, displaced.pod != self.pod {
            // To whom this is the smaller epoch, asserts.
            self.tell(displaced.pod, of: di, epoch: session?.epoch ?? 0)
            if let session, (session.epoch, self.pod.name) < (displaced.epoch, displaced.pod.name) {
                let by = (epoch: displaced.epoch, pod: displaced.pod.name)
                return self.sessions.supersede(di, by: by, pod: self.pod.name) { _ in }
            }
        }
        self.assertNow(di)
    }

    /// Tells people that two peers take a device from each other.
    fileprivate func noteContested(_ holder: Route, holderPeer: String?, newcomer: String) {
        self.metrics.deviceContested()
        let now = NIODeadline.now()
        // A peer that tries again and again is not news each time.
        let isNews = self.state.withLock { state in
            if let last = state.contested[holder.di], now < last + TimeAmount(RouteTimes.takeoverWindow) {
                return false
            }
            if state.contested.count >= 1024 { state.contested = [:] }
            state.contested[holder.di] = now
            return true
        }
        guard isNews else { return }
        let held = holderPeer.map { "\($0) (pod \(holder.pod.name))" } ?? "pod \(holder.pod.name)"
        self.logger.warning(
            "device contested: two peers sign in as it in turn; the newcomer was refused",
            metadata: .init([
                .deviceID: holder.di.text, .peerAddress: newcomer, .podAddress: holder.pod.address,
                .reason: "held by \(held)",
            ]))
        self.events?.append(
            OwnerEvent(
                kind: .deviceContested, di: holder.di, at: self.clock.now(),
                text: "\(newcomer) was refused: \(held) has signed in as this device and is alive; one has to stop"),
            of: holder.uid)
    }
}

/// One sign-in on its way: obeys `RouteClaiming`, on its connection's event loop.
private final class ClaimRun {
    private let keeper: RouteKeeper
    private let di: DeviceID
    private let uid: UserID
    private let peer: String
    private let eventLoop: any EventLoop
    private let completion: @Sendable (ClaimVerdict) -> Void
    private let fenceRevision: UInt64
    private var machine: RouteClaiming
    private var holderPeer: String?
    private var timer: Scheduled<Void>?

    init(
        keeper: RouteKeeper, di: DeviceID, uid: UserID, peer: String, eventLoop: any EventLoop,
        completion: @escaping @Sendable (ClaimVerdict) -> Void
    ) {
        self.keeper = keeper
        self.di = di
        self.uid = uid
        self.peer = peer
        self.eventLoop = eventLoop
        self.completion = completion
        self.fenceRevision = keeper.fence.revision
        self.machine = RouteClaiming(pod: keeper.pod)
    }

    private var bound: NIOLoopBound<ClaimRun> { NIOLoopBound(self, eventLoop: self.eventLoop) }

    func start() {
        self.perform(self.machine.start(now: .now()))
    }

    private func perform(_ action: RouteClaiming.Action) {
        switch action {
        case .claim(let replacing, let until):
            self.wait(until: until)
            let run = self.bound
            self.keeper.routes.claim(
                self.di, uid: self.uid, pod: self.keeper.pod, floor: self.keeper.epochs.floor, replacing: replacing
            ) { result in
                run.onLoop { $0.claimed(result) }
            }
        case .probe(let holder, let until):
            self.wait(until: until)
            self.keeper.sessions.claimDelayed(self.di)
            self.probe(holder)
        case .notify(let claim, let displaced, let until):
            self.wait(until: until)
            let run = self.bound
            self.keeper.tell(displaced.pod, of: self.di, epoch: claim.route.epoch) {
                run.onLoop { $0.perform($0.machine.acknowledged()) }
            }
        case .begin(let claim):
            self.finish(
                .begin(
                    RouteTicket(
                        di: self.di, epoch: claim.route.epoch, isWritten: true, displaced: claim.displaced,
                        movedAgo: claim.movedAgo),
                    fenceRevision: self.fenceRevision))
        case .beginUnwritten:
            self.keeper.metrics.sessionUnwritten()
            self.keeper.logger.warning(
                "route not written: the session begins without it", metadata: .init([.deviceID: self.di.text]))
            let epoch = self.keeper.epochs.mint()
            self.finish(
                .begin(
                    RouteTicket(di: self.di, epoch: epoch, isWritten: false, displaced: nil, movedAgo: nil),
                    fenceRevision: self.fenceRevision))
        case .refuse(let holder):
            self.keeper.noteContested(holder, holderPeer: self.holderPeer, newcomer: self.peer)
            self.finish(.contested)
        case .late(let claim):
            self.keeper.late(claim)
        case .nothing:
            break
        }
    }

    private func claimed(_ result: Result<RouteClaimOutcome, RouteStoreUnavailable>) {
        switch result {
        case .success(.claimed(let claim)): self.keeper.epochs.observe(claim.route.epoch)
        case .success(.contested(let holder)): self.keeper.epochs.observe(holder.epoch)
        case .failure(let error): self.keeper.storeFailed(error.reason, since: self.fenceRevision)
        }
        self.perform(self.machine.claimed(result, now: .now()))
    }

    private func wait(until: NIODeadline) {
        self.timer?.cancel()
        self.timer = self.eventLoop.assumeIsolated().scheduleTask(deadline: until) {
            self.perform(self.machine.deadlineReached(now: .now()))
        }
    }

    private func finish(_ verdict: ClaimVerdict) {
        self.timer?.cancel()
        self.completion(verdict)
    }

    // MARK: The holder of a contested device

    private func probe(_ holder: Route) {
        let run = self.bound
        let probe = SessionProbe(di: holder.di, epoch: holder.epoch)
        guard holder.pod != self.keeper.pod, let pods = self.keeper.pods else {
            return self.keeper.probe(probe) { alive in
                run.onLoop { $0.probed(alive == nil ? .dead : .alive, peer: alive) }
            }
        }
        var request = probe.request(from: self.keeper.pod)
        request.options.deadlineMilliseconds = UInt32(
            clamping: RouteClaiming.probeLimit.nanoseconds / 1_000_000)
        pods.deliver(request, to: holder.pod) { response in
            run.onLoop { $0.answered(response, of: holder) }
        }
    }

    private func answered(_ response: Response, of holder: Route) {
        switch response.code {
        case .content where response.isFromPod:
            let peer = response.payload.flatMap { String(validating: $0.readableBytesView, as: UTF8.self) }
            self.probed(.alive, peer: peer)
        case .notFound where response.isFromPod:
            self.probed(.dead, peer: nil)
        default:
            // Not reached: dead only if the store has not heard of its pod either.
            let run = self.bound
            self.keeper.routes.lease(of: holder.pod) { result in
                let isGone =
                    switch result {
                    case .success(.lapsed), .success(.gone): true
                    case .success(.held), .failure: false
                    }
                run.onLoop { $0.probed(isGone ? .dead : .unknown, peer: nil) }
            }
        }
    }

    private func probed(_ holder: RouteClaiming.Holder, peer: String?) {
        self.holderPeer = peer
        self.perform(self.machine.probed(holder, now: .now()))
    }
}
