import CBOR
import CoAPTransport
import Logging
import NIOCore

/// The devices of a fleet on one event loop, and what is counted of them.
final class FleetLoop {
    let eventLoop: any EventLoop
    let setup: FleetSetup
    let dialer: CoAPDialer
    let provisioning: FleetProvisioning?
    let history: FleetHistory?
    /// What each device publishes.
    let links: [DataItem]
    private let notices: FleetNotices

    var counts = FleetCounts()
    var latencies = FleetLatencies()
    private(set) var isStopping = false
    private var peers: [FleetPeer] = []
    private var next = 0
    private var start = ContinuousClock.now
    private var ramp: Scheduled<Void>?
    private var ticks: [RepeatedTask] = []

    init(
        _ setup: FleetSetup, on eventLoop: any EventLoop, provisioning: FleetProvisioning?, history: FleetHistory?,
        notices: FleetNotices
    ) {
        self.eventLoop = eventLoop
        self.setup = setup
        self.provisioning = provisioning
        self.history = history
        self.notices = notices
        self.links = FleetLight.hrefs(setup.links).map(FleetLight.link)
        self.dialer = CoAPDialer(
            group: eventLoop, configuration: setup.connection,
            logger: Logger(label: "mock-device") { _ in SwiftLogNoOpLogHandler() })
    }

    /// Adds a device. They come in the order in which they begin.
    func add(_ index: Int, _ saved: FleetSavedDevice?) {
        let machine = FleetDevice(
            self.setup.profile, quirks: self.setup.quirks, isRegistered: saved != nil,
            publishes: self.setup.links > 0 && saved?.hasPublished != true,
            random: FleetRandom(seed: self.setup.seed, device: index))
        self.peers.append(FleetPeer(index: index, loop: self, machine: machine, tokens: saved?.tokens))
        self.counts.devices += 1
    }

    func begin() {
        self.start = .now
        self.beginDue()
        if let perSecond = self.setup.notificationsPerSecond, perSecond > 0 {
            self.tick(every: .seconds(1) * (1 / perSecond)) { $0.notify() }
        }
        if self.setup.quirks.contains(.slowReader) {
            self.tick(every: .seconds(1)) { $0.readSlowly() }
        }
    }

    /// Ends all devices; nothing is counted after this.
    /// - Returns: what there is to begin a later run with.
    func stop() -> [FleetSavedDevice] {
        self.isStopping = true
        self.ramp?.cancel()
        for tick in self.ticks { tick.cancel() }
        for peer in self.peers { peer.stop() }
        let saved = self.peers.compactMap { peer in
            peer.tokens.map { FleetSavedDevice(di: peer.di, tokens: $0, hasPublished: peer.hasPublished) }
        }
        // Each holds this loop, for as long as anything may still happen to it.
        self.peers = []
        return saved
    }

    func succeeded(_ step: FleetStep, after duration: Duration) {
        self.counts.steps[step, default: 0] += 1
        self.latencies.record(FleetLatency(step), duration)
    }

    func failed(_ failure: FleetFailure, notice: String?) {
        self.counts.failures[failure, default: 0] += 1
        if let notice { self.notices.tell(failure, notice) }
    }

    private func beginDue() {
        let elapsed = ContinuousClock.now - self.start
        while self.next < self.peers.count, self.setup.ramp.begin(of: self.peers[self.next].index) <= elapsed {
            self.peers[self.next].begin()
            self.next += 1
        }
        guard self.next < self.peers.count, !self.isStopping else { return }
        let wait = self.setup.ramp.begin(of: self.peers[self.next].index) - elapsed
        self.ramp = self.eventLoop.assumeIsolated().scheduleTask(in: TimeAmount(wait)) { self.beginDue() }
    }

    private func tick(every time: Duration, _ work: @escaping @Sendable (FleetPeer) -> Void) {
        let interval = TimeAmount(time)
        let bound = NIOLoopBound(self, eventLoop: self.eventLoop)
        self.ticks.append(
            self.eventLoop.scheduleRepeatedTask(initialDelay: interval, delay: interval) { _ in
                for peer in bound.value.peers { work(peer) }
            })
    }
}
