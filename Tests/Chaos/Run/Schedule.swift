import Glibc

/// What is done to the cluster, phase by phase, and how it is seen that it has recovered.
struct Schedule {
    let plan: RunPlan
    let cluster: RunCluster
    let watch: SessionWatch
    let log: RunLog

    /// The whole of a run's changes.
    func run() async throws {
        for phase in self.plan.phases {
            self.log.note(.phase) {
                $0.phase = phase.rawValue
                $0.isPlanned = phase.isPlanned
            }
            self.log.say("\(phase.rawValue) begins")
            let took = try await ContinuousClock().measure { try await self.perform(phase) }
            self.log.note(.phaseEnded) {
                $0.phase = phase.rawValue
                $0.isPlanned = phase.isPlanned
            }
            self.log.say("\(phase.rawValue) took \(Int(took / .seconds(1))) s")
            try await self.recovered()
        }
    }

    /// Until all devices have a session.
    func recovered() async throws {
        var quiet = 0
        // A reference device that was refused thrice waits up to a minute and a half before it comes again.
        let took = try await Patience.until("all \(self.plan.devices) devices are in", within: .seconds(240)) {
            quiet = await self.watch.total == self.plan.devices ? quiet + 1 : 0
            return quiet >= 10
        }
        let shares = await self.watch.counts.sorted { $0.key < $1.key }.map { "\($0.key) \($0.value)" }
        self.log.say("all devices are in after \(Int(took / .seconds(1))) s: \(shares.joined(separator: ", "))")
    }

    private func perform(_ phase: Phase.Name) async throws {
        switch phase {
        // A session is moved for balance when it is a minute old.
        case .steady: try await Patience.pass(.seconds(60))
        case .calm: try await Patience.pass(.seconds(15))
        case .double: try await self.double()
        case .halve:
            let pods = await self.cluster.running(.coapInterface)
            try await self.cluster.stop(Array(pods.prefix(pods.count / 2)))
        case .roll: try await self.roll(.coapInterface)
        case .rollNorthbound: try await self.roll(.northbound)
        case .rollRegistry: try await self.roll(.registry)
        case .kill:
            let pod = try await self.victim()
            await self.cluster.kill(pod)
            try await self.recovered()
            try await self.cluster.isKnown(self.cluster.start(1, .coapInterface))
        case .freeze: try await self.freeze()
        case .redisEmpty:
            try await self.cluster.redis.forgetEverything()
            try await Patience.pass(.seconds(15))
        case .mysqlStall:
            try await self.cluster.stallDatabase(for: 10)
            try await Patience.pass(.seconds(5))
        case .cut:
            let pod = try await self.victim()
            try await self.cluster.cut(pod)
            try await Patience.pass(.seconds(20))
            try await self.cluster.mend(pod)
            try await Patience.pass(.seconds(5))
        case .weather: try await self.weather()
        }
    }

    private func double() async throws {
        let before = await self.cluster.running(.coapInterface).count
        try await self.cluster.start(before, .coapInterface)
        let took = try await Patience.until("sessions are even over \(before * 2) pods", within: .seconds(300)) {
            await self.watch.isEven(over: before * 2)
        }
        self.log.note(.even) {
            $0.phase = Phase.Name.double.rawValue
            $0.count = Int(took / .seconds(1))
        }
        self.log.say("even over \(before * 2) pods after \(Int(took / .seconds(1))) s")
    }

    /// As a Deployment with `maxSurge: 100 %` and `minReadySeconds: 10` does: all new ones first, then all old ones go.
    private func roll(_ program: RunProcess.Program) async throws {
        let old = await self.cluster.running(program)
        try await self.cluster.start(old.count, program)
        try await Patience.pass(.seconds(10))
        try await self.cluster.stop(old)
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
        try await Patience.pass(.seconds(20))
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
        for di in try await self.cluster.redis.devices(on: pod.name) {
            self.log.note(.placed) {
                $0.di = di
                $0.process = pod.name
            }
        }
        return pod
    }
}
