import Glibc

/// What is done to the cluster, phase by phase, and how it is seen that it has recovered.
struct Schedule {
    let plan: RunPlan
    let cluster: RunCluster
    let watch: SessionWatch
    let log: RunLog
    /// Whence devices come.
    let clients: Host

    /// The whole of a run's changes.
    func run() async throws {
        for phase in self.plan.phases {
            self.log.note(.phase) {
                $0.phase = phase.rawValue
                $0.isPlanned = phase.isPlanned
            }
            self.log.say("\(phase.rawValue) begins")
            do {
                let took = try await ContinuousClock().measure { try await self.perform(phase) }
                self.log.note(.phaseEnded) {
                    $0.phase = phase.rawValue
                    $0.isPlanned = phase.isPlanned
                }
                self.log.say("\(phase.rawValue) took \(Int(took / .seconds(1))) s")
                try await self.recovered()
            } catch let error as Unrecovered {
                // That is what a run is to find out: it is judged by what there is.
                self.log.note(.unrecovered) {
                    $0.phase = phase.rawValue
                    $0.detail = error.description
                }
                return self.log.say("no recovery from \(phase.rawValue), and nothing more is done: \(error)")
            }
        }
    }

    /// The cluster did not become what it was to become. No fault of the run.
    struct Unrecovered: Error, CustomStringConvertible {
        let description: String
    }

    /// How long it took.
    /// - Throws: ``Unrecovered`` if it was not so in time.
    private func wait(_ what: String, within patience: Duration, _ isSo: () async -> Bool) async throws -> Duration {
        do {
            return try await Patience.until(what, within: patience, isSo)
        } catch let error as RunError {
            throw Unrecovered(description: error.description)
        }
    }

    /// Until all devices have a session.
    /// - Returns: how long it took.
    @discardableResult
    func recovered() async throws -> Duration {
        var quiet = 0
        let begun = ContinuousClock.now
        var since = begun
        // A reference device that was refused thrice waits up to a minute and a half before it comes again.
        let took = try await self.wait("all \(self.plan.devices) devices are in", within: .seconds(240)) {
            quiet = await self.watch.total == self.plan.devices ? quiet + 1 : 0
            if quiet == 1 { since = .now }
            return quiet >= 10
        }
        let shares = await self.watch.counts.sorted { $0.key < $1.key }.map { "\($0.key) \($0.value)" }
        self.log.say("all devices are in after \(Int(took / .seconds(1))) s: \(shares.joined(separator: ", "))")
        return since - begun
    }

    private func perform(_ phase: RunPhase) async throws {
        switch phase {
        // A session is moved for balance when it is a minute old.
        case .steady: try await Patience.pass(.seconds(60))
        case .calm: try await Patience.pass(.seconds(15))
        case .double: try await self.grow(to: self.cluster.running(.coapInterface).count * 2, in: phase)
        case .toEight: try await self.grow(to: 8, in: phase)
        case .halve: try await self.shrink(to: (self.cluster.running(.coapInterface).count + 1) / 2)
        case .toTwo: try await self.shrink(to: 2)
        case .roll: try await self.roll(.coapInterface)
        case .rollNorthbound: try await self.roll(.northbound)
        case .rollRegistry: try await self.roll(.registry)
        case .kill:
            let pod = try await self.victim()
            await self.cluster.kill([pod])
            // Where nobody is left, only a new pod can take the devices.
            let isLast = await self.cluster.running(.coapInterface).isEmpty
            if !isLast { try await self.recovered() }
            try await self.cluster.isKnown(self.cluster.start(1, .coapInterface))
        case .storm: try await self.storm()
        case .disconnect:
            try await self.cluster.disconnect(self.clients)
            try await self.awaitReturn(in: phase, since: "they were disconnected")
        case .freeze: try await self.freeze()
        case .redisEmpty:
            try await self.cluster.redis.forgetEverything()
            try await Patience.pass(.seconds(15))
        case .mysqlStall:
            try await self.cluster.stallDatabase(for: 10)
            try await Patience.pass(.seconds(5))
        case .cut: try await self.cut(from: [self.cluster.redis.address])
        case .cutPeers:
            let peers = await self.cluster.running(.northbound) + self.cluster.running(.coapInterface).dropFirst()
            try await self.cut(from: peers.map(\.host.address))
        case .cutDevices: try await self.cut(from: [self.clients.address])
        case .natForgets:
            try await self.cluster.forget(self.victim())
            // Nobody is told: each end finds out by its own Pings, of which the slowest take a minute and a half.
            try await Patience.pass(.seconds(100))
        case .weather: try await self.weather()
        }
    }

    /// Until sessions are even over so many pods.
    private func grow(to count: Int, in phase: RunPhase) async throws {
        let before = await self.cluster.running(.coapInterface).count
        try await self.cluster.start(max(0, count - before), .coapInterface)
        let took = try await self.wait("sessions are even over \(count) pods", within: .seconds(300)) {
            await self.watch.isEven(over: count)
        }
        self.log.note(.even) {
            $0.phase = phase.rawValue
            $0.count = Int(took / .seconds(1))
        }
        self.log.say("even over \(count) pods after \(Int(took / .seconds(1))) s")
    }

    /// Stops those that have been there longest.
    private func shrink(to count: Int) async throws {
        try await self.cluster.stop(self.cluster.running(.coapInterface).dropLast(count))
    }

    /// For 20 s a pod and these addresses do not reach each other.
    private func cut(from addresses: [String]) async throws {
        let pod = try await self.victim()
        try await self.cluster.cut(pod, from: addresses)
        try await Patience.pass(.seconds(20))
        try await self.cluster.mend(pod, addresses)
        try await Patience.pass(.seconds(5))
    }

    /// As a Deployment with `maxSurge: 100 %` and `minReadySeconds: 10` does: all new ones first, then all old ones go.
    private func roll(_ program: RunProcess.Program) async throws {
        let old = await self.cluster.running(program)
        try await self.cluster.start(old.count, program)
        try await Patience.pass(.seconds(10))
        try await self.cluster.stop(old)
    }

    /// All pods are gone at once, and everybody comes to as many new ones.
    private func storm() async throws {
        let old = await self.cluster.running(.coapInterface)
        for pod in old { try await self.notePlaces(on: pod, mayHaveNone: true) }
        await self.cluster.kill(old)
        try await self.cluster.isKnown(self.cluster.start(old.count, .coapInterface))
        try await self.awaitReturn(in: .storm, since: "the new pods were known")
    }

    private func awaitReturn(in phase: RunPhase, since: String) async throws {
        let took = try await self.recovered()
        self.log.note(.back) {
            $0.phase = phase.rawValue
            $0.count = Int(took / .seconds(1))
        }
        self.log.say("all are back \(Int(took / .seconds(1))) s after \(since)")
    }

    /// A pod stands still for longer than its lease, and than a device waits for a Pong.
    private func freeze() async throws {
        let pod = try await self.victim()
        self.log.note(.frozen) { $0.process = pod.name }
        pod.signal(SIGSTOP)
        do {
            try await Patience.pass(.seconds(20))
        } catch {
            pod.signal(SIGCONT)
            throw error
        }
        pod.signal(SIGCONT)
        self.log.note(.thawed) { $0.process = pod.name }
        try await Patience.pass(.seconds(5))
    }

    private func weather() async throws {
        let pod = try await self.victim()
        try await self.cluster.lose(0.1, at: pod)
        try await Patience.pass(.seconds(10))
        try await self.cluster.lose(0.2, at: pod, onlyTo: true)
        try await Patience.pass(.seconds(10))
        try await self.cluster.heal(pod)
        try await self.cluster.reset(0.005, at: pod)
        try await Patience.pass(.seconds(5))
        try await self.cluster.heal(pod)
    }

    /// The pod that something is done to; which devices it has is written down before.
    private func victim() async throws -> RunProcess {
        guard let pod = await self.cluster.running(.coapInterface).first else {
            throw RunError("No coap-interface runs any more: see logs/pod-*.log in the run's folder.")
        }
        try await self.notePlaces(on: pod)
        return pod
    }

    /// Writes down which devices a pod has.
    private func notePlaces(on pod: RunProcess, mayHaveNone: Bool = false) async throws {
        let devices = try await self.cluster.redis.devices(on: pod.name)
        guard !devices.isEmpty || mayHaveNone else {
            throw RunError(
                "Redis has no route to \(pod.name), so that nobody can say whose sessions end with it. Begin with more "
                    + "devices or fewer pods, and compare the keys that RunRedis reads with docs/redis.md.")
        }
        for di in devices {
            self.log.note(.placed) {
                $0.di = di
                $0.process = pod.name
            }
        }
    }
}
