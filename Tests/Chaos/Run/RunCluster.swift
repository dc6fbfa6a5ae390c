import Foundation
import Glibc
import TestServers
import TestSupport

/// The cluster of a run: its servers on the router, each of its programs on a host of its own, and a balancer in front
/// of each kind.
actor RunCluster {
    private let plan: RunPlan
    private let log: RunLog
    private let network: Network
    private let database: MariaDBServer
    let redis: RunRedis
    private var processes: [RunProcess] = []
    private var numbers: [RunProcess.Program: Int] = [:]
    private let balancers: [RunProcess.Program: BlindBalancer]
    private let settings: [RunProcess.Program: [String: String]]

    init(_ plan: RunPlan, network: Network, log: RunLog) async throws {
        self.plan = plan
        self.log = log
        self.network = network
        let redisAddress = try await network.ownAddress(1)
        let databaseAddress = try await network.ownAddress(2)
        self.redis = try await RunRedis(address: redisAddress)
        self.database = try await MariaDBServer(options: ["--bind-address=\(databaseAddress)"])
        var balancers: [RunProcess.Program: BlindBalancer] = [:]
        for program in RunProcess.Program.allCases {
            balancers[program] = BlindBalancer(
                service: program.service, network: network, seed: plan.seed ^ UInt64(program.port),
                note: { log.note($0) })
        }
        self.balancers = balancers
        let secret = Self.randomKey()
        let common = [
            "CLUSTER_SECRET": secret, "CACHE_URI": "\(redisAddress):\(self.redis.port)", "EVENT_LOOPS": "1",
            "REGISTRY": "\(RunProcess.Program.registry.service.address):\(RunProcess.Program.registry.port)",
        ]
        let settings: [RunProcess.Program: [String: String]] = [
            .registry: common.merging([
                "DB_URI": "@tcp(\(databaseAddress):\(self.database.port))/",
                "DB_NAME": try await self.database.createDatabase(),
                "DB_USERNAME": MariaDBServer.user, "DB_PASSWORD": MariaDBServer.password,
                "TOKEN_SEAL_KEY": Self.randomKey(), "SID": UUID().uuidString.lowercased(), "ACCESS_LOG": "errors",
            ]) { $1 },
            .northbound: common.merging(["REGISTRATION": "open", "ACCESS_LOG": "errors"]) { $1 },
            // The judge reads at level debug who wrote what to whom under which epoch.
            .coapInterface: common.merging(["LOG_LEVEL": "debug", "ACCESS_LOG": "off"]) { $1 }.merging(
                plan.drain.settings
            ) { $1 },
        ]
        self.settings = settings.merging(plan.settings) { $0.merging($1) { $1 } }
    }

    private static func randomKey() -> String {
        Data((0..<32).map { _ in UInt8.random(in: .min ... .max) }).base64EncodedString()
    }

    nonisolated var http: HTTPTestClient {
        let service = RunProcess.Program.northbound.service
        return HTTPTestClient(host: service.address, port: service.port)
    }

    /// Looks after members until the task is cancelled.
    nonisolated func balance() async throws {
        try await withThrowingTaskGroup(of: Void.self) { group in
            for balancer in self.balancers.values { group.addTask { try await balancer.run() } }
            try await group.waitForAll()
        }
    }

    // MARK: Processes

    func running(_ program: RunProcess.Program) -> [RunProcess] {
        self.processes.filter { $0.program == program }
    }

    /// Starts so many, and waits until they are ready.
    @discardableResult
    func start(_ count: Int, _ program: RunProcess.Program) async throws -> [RunProcess] {
        var started: [RunProcess] = []
        for _ in 0..<count { started.append(try await self.startOne(program)) }
        for process in started {
            try await Patience.until("\(process.name) is ready", within: .seconds(60)) {
                (try? await process.admin.get("/readyz").status) == 200
            }
            self.log.note(.ready) { $0.process = process.name }
        }
        return started
    }

    private func startOne(_ program: RunProcess.Program) async throws -> RunProcess {
        let number = (self.numbers[program] ?? 0) + 1
        self.numbers[program] = number
        let name = "\(program.prefix)-\(number)"
        let host = try await self.network.host(name)
        let environment = (self.settings[program] ?? [:]).merging([
            "POD_NAME": name, "BIND_ADDRESS": host.address, "POD_IP": host.address,
        ]) { $1 }
        let process = try RunProcess(
            program, name: name, on: host, executable: "\(self.plan.place)/bin/\(program.rawValue)",
            environment: environment, log: "\(self.plan.place)/logs/\(name).log")
        self.processes.append(process)
        self.log.note(.started) {
            $0.process = name
            $0.program = program.rawValue
        }
        self.watch(process)
        await self.balancers[program]?.add(
            name: name, address: host.address, port: program.port, readiness: (host.address, RunProcess.adminPort))
        return process
    }

    /// Waits until the balancer has learnt of them.
    func isKnown(_ members: [RunProcess]) async throws {
        guard let program = members.first?.program, let balancer = self.balancers[program] else { return }
        let names = members.map(\.name)
        try await balancer.waitUntil { Set($0).isSuperset(of: names) }
    }

    /// Tells them to stop, all at once, and waits for their ends.
    func stop(_ stopped: some Sequence<RunProcess> & Sendable) async throws {
        for process in stopped {
            self.log.note(.stopping) { $0.process = process.name }
            process.signal(SIGTERM)
        }
        await self.end(Array(stopped), patience: self.plan.drain.patience)
    }

    /// Kills them, all at once.
    func kill(_ killed: [RunProcess]) async {
        for process in killed {
            self.log.note(.killed) { $0.process = process.name }
            process.signal(SIGKILL)
        }
        await self.end(killed, patience: 10)
    }

    /// Waits for all at once; whoever is still there after `patience` seconds is killed.
    private func end(_ processes: [RunProcess], patience: Double) async {
        await withTaskGroup(of: Void.self) { group in
            for process in processes {
                group.addTask { await self.left(process, status: await process.ended(patience: patience)) }
            }
        }
    }

    /// Notes an end as soon as there is one, asked for or not.
    private func watch(_ process: RunProcess) {
        Task { await self.left(process, status: await process.ended(patience: RunProcess.wholeRun)) }
    }

    private func left(_ process: RunProcess, status: Int) async {
        // Who waits for it and who watches it both come here.
        guard self.processes.contains(where: { $0 === process }) else { return }
        self.processes.removeAll { $0 === process }
        self.log.note(.ended) {
            $0.process = process.name
            $0.status = status
        }
        await self.balancers[process.program]?.forget(process.name)
    }

    func stopAll() async throws {
        for program in [RunProcess.Program.northbound, .coapInterface, .registry] {
            try await self.stop(self.running(program))
        }
        await self.redis.stop()
        await self.database.kill()
    }

    // MARK: Harm

    nonisolated func stallDatabase(for time: Int64) async throws {
        self.database.pause()
        defer { self.database.resume() }
        try await Patience.pass(.seconds(time))
    }

    func cut(_ process: RunProcess, from addresses: [String]) async throws {
        for address in addresses { try await self.network.cut(process.host, from: address) }
        self.log.note(.cut) { $0.process = process.name }
    }

    func mend(_ process: RunProcess, _ addresses: [String]) async throws {
        for address in addresses { try await self.network.mend(process.host, address) }
        self.log.note(.mended) { $0.process = process.name }
    }

    /// Ends all connections of devices at once.
    func disconnect(_ clients: Host) async throws {
        try await self.network.abort(clients, to: RunProcess.Program.coapInterface.port)
    }

    /// From here on what is connected with it passes no more.
    func forget(_ process: RunProcess) async throws {
        try await self.network.forget(process.host, port: process.program.port)
        self.log.note(.cut) { $0.process = process.name }
    }

    func lose(_ share: Double, at process: RunProcess, onlyTo: Bool = false) async throws {
        try await self.network.lose(share, at: process.host, onlyTo: onlyTo)
    }

    func reset(_ share: Double, at process: RunProcess) async throws {
        try await self.network.reset(share, at: process.host, port: process.program.port)
    }

    func heal(_ process: RunProcess) async throws {
        try await self.network.heal(process.host)
    }
}
