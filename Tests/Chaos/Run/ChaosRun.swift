import Foundation

/// A run from its first process to its last.
package struct ChaosRun: Sendable {
    private let plan: RunPlan
    private let log: RunLog

    package init(_ plan: RunPlan, tell: @escaping @Sendable (String) -> Void) throws {
        self.plan = plan
        try Self.prepare(plan.place, products: plan.products)
        self.log = try RunLog(path: "\(plan.place)/run.jsonl", tell: tell)
    }

    /// Makes the folder of a run, with all programs in it.
    static func prepare(_ place: String, products: String) throws {
        for folder in ["", "/logs", "/bin"] {
            try FileManager.default.createDirectory(atPath: place + folder, withIntermediateDirectories: true)
        }
        // One executable is every program, by the name it is called by.
        for program in RunProcess.Program.allCases {
            try FileManager.default.createSymbolicLink(
                atPath: "\(place)/bin/\(program.rawValue)", withDestinationPath: "\(products)/coap-gateway")
        }
    }

    /// Does everything, and leaves the files for the judge. Whatever happens, what was started is ended by the end of
    /// the process namespace this runs in.
    package func run() async throws {
        let network = try await Network()
        let cluster = try await RunCluster(self.plan, network: network, log: self.log)
        let watch = SessionWatch(cluster, log: self.log)
        let processors = ProcessorWatch()
        self.log.note(.begun) {
            $0.devices = self.plan.devices
            $0.cores = ProcessInfo.processInfo.activeProcessorCount
        }
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask { try await cluster.balance() }
            group.addTask { await watch.run() }
            group.addTask { await processors.run() }
            group.addTask { try await self.perform(cluster, watch, network, processors) }
            // The others go on for ever, unless something is wrong.
            try await group.next()
            group.cancelAll()
        }
        try await cluster.stopAll()
        guard self.log.missing == 0 else {
            throw RunError(
                "\(self.log.missing) lines of run.jsonl could not be written, so that nobody can judge. Make room, or "
                    + "choose another --place.")
        }
    }

    private func perform(
        _ cluster: RunCluster, _ watch: SessionWatch, _ network: Network, _ processors: ProcessorWatch
    ) async throws {
        let programs: [(RunProcess.Program, Int)] = [
            (.registry, self.plan.registries), (.coapInterface, self.plan.pods), (.northbound, self.plan.northbounds),
        ]
        for (program, count) in programs {
            try await cluster.isKnown(cluster.start(count, program))
            self.log.say("\(count) of \(program.rawValue) serve")
        }
        let host = try await network.host("clients")
        let clients = RunClients(self.plan, cluster: cluster, host: host, log: self.log)
        let schedule = Schedule(
            plan: self.plan, cluster: cluster, watch: watch, log: self.log, clients: host)
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask { try await clients.watch() }
            group.addTask { try await self.perform(schedule, clients, processors) }
            try await group.next()
            group.cancelAll()
        }
    }

    private func perform(
        _ schedule: Schedule, _ clients: RunClients, _ processors: ProcessorWatch
    ) async throws {
        try await clients.startFleets()
        try await schedule.recovered()
        try await clients.startTraffic()
        try await schedule.run()
        try await clients.stopTraffic()
        for (program, milliseconds) in await processors.milliseconds {
            self.log.note(.processor) {
                $0.program = program
                $0.count = milliseconds
            }
        }
        self.log.note(.over)
        try await clients.stopFleets()
    }
}
