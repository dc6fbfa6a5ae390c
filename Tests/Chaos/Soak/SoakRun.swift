/// A soak run from its first process to its last.
package struct SoakRun: Sendable {
    private let plan: SoakPlan
    private let log: RunLog

    /// Whoever did not sign in is shown out after 30 s, who answers no Ping after about 10 s, and a stream that nobody
    /// reads after 30 s; and that half as long again.
    private static let patience = Duration.seconds(90)

    package init(_ plan: SoakPlan, tell: @escaping @Sendable (String) -> Void) throws {
        self.plan = plan
        try ChaosRun.prepare(plan.place, products: plan.products)
        self.log = try RunLog(path: "\(plan.place)/run.jsonl", tell: tell)
    }

    /// Whatever happens, what was started is ended by the end of the process namespace this runs in.
    package func run() async throws -> SoakRecord {
        let network = try await Network()
        let cluster = try await RunCluster(self.plan.run, network: network, log: self.log)
        let load = SoakLoad(self.plan, cluster: cluster, network: network, log: self.log)
        let record = try await withThrowingTaskGroup(of: SoakRecord?.self) { group in
            group.addTask {
                try await cluster.balance()
                return nil
            }
            group.addTask {
                try await load.watch()
                return nil
            }
            group.addTask { try await self.perform(cluster, load) }
            // The first two go on for ever, unless something is wrong.
            defer { group.cancelAll() }
            return try await group.next() ?? nil
        }
        try await cluster.stopAll()
        guard let record else { throw CancellationError() }
        return record
    }

    private func perform(_ cluster: RunCluster, _ load: SoakLoad) async throws -> SoakRecord {
        for program in [RunProcess.Program.registry, .coapInterface, .northbound] {
            try await cluster.isKnown(cluster.start(1, program))
            self.log.say("\(program.rawValue) serves")
        }
        let steady = self.plan.steady
        let sampler = SoakSampler(cluster)
        try await load.start(steady)
        let before = try await sampler.settled("before", devices: steady.devices, within: .seconds(120)) {
            $0.sessions == steady.devices && $0.routes == steady.devices
        }
        guard before.sessions == steady.devices else {
            throw RunError("Only \(before.sessions) of \(steady.devices) devices signed in: see logs/steady.log.")
        }
        self.log.say("\(steady.devices) steady devices are in")
        for fleet in self.plan.restless { try await load.start(fleet) }
        try await load.startVisitors()
        self.log.say("everybody comes")
        try await sampler.watch(for: .seconds(self.plan.warmUp + self.plan.seconds), log: self.log)
        let series = await sampler.seen

        self.log.say("all but the steady devices go")
        var complaints = try await load.stopVisitors()
        let quiet = try await sampler.settled("afterwards", devices: steady.devices, within: Self.patience) {
            $0.isSettled(before: before)
        }
        self.log.say("quiet after \(Int(quiet.seconds)) s")
        complaints += try await load.stopSteady()
        let empty = try await sampler.settled("without devices", devices: 0, within: Self.patience) {
            $0.isSettled(before: before)
        }
        self.log.say("empty after \(Int(empty.seconds)) s")
        return SoakRecord(
            warmUp: self.plan.warmUp, seconds: self.plan.warmUp + self.plan.seconds, series: series, before: before,
            after: [quiet, empty],
            strangers: try await load.strangers(), complaints: complaints)
    }
}
