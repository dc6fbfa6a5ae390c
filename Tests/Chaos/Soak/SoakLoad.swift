import Foundation
import Glibc
import TestServers
import TestSupport

/// Everybody who is outside in a soak run: fleets, clients and strangers, each a process of its own.
actor SoakLoad {
    private let plan: SoakPlan
    private let cluster: RunCluster
    private let network: Network
    private let log: RunLog
    private var processes: [String: (process: Subprocess, host: Host)] = [:]
    private var owners: [FleetOwner] = []
    private var stopped: Set<String> = []
    private let endings: AsyncStream<(name: String, status: Int32)>
    private let ending: AsyncStream<(name: String, status: Int32)>.Continuation

    /// Devices that are told to stop take their leave; no request takes longer than a client waits.
    private static let patience = 70.0

    init(_ plan: SoakPlan, cluster: RunCluster, network: Network, log: RunLog) {
        self.plan = plan
        self.cluster = cluster
        self.network = network
        self.log = log
        (self.endings, self.ending) = AsyncStream.makeStream()
    }

    /// Until the task is cancelled.
    /// - Throws: ``RunError`` when one ends unasked: the load is not what it was to be.
    func watch() async throws {
        for await (name, status) in self.endings where !self.stopped.contains(name) {
            throw RunError("\(name) ended unasked with \(status): see logs/\(name).log in the run's folder.")
        }
    }

    // MARK: - Beginning

    func start(_ fleet: SoakPlan.Fleet) async throws {
        let coap = RunProcess.Program.coapInterface.service
        let http = RunProcess.Program.northbound.service
        let owner = try await FleetOwner.register(
            fleet.name, devices: fleet.devices, prefix: fleet.prefix, at: self.cluster.http)
        self.owners.append(owner)
        var words = [
            "\(self.plan.products)/mock-device", "run", "--address", "\(coap.address):\(coap.port)",
            "--northbound", "http://\(http.address):\(http.port)", "--mediator-token", owner.mediator,
            "--profile", fleet.profile, "--devices", "\(fleet.devices)", "--prefix", fleet.prefix, "--rate", "50/s",
            "--notify", "1/s", "--delay-share", "2%", "--delay", "1s", "--seed", "\(self.plan.seed)",
            "--report", "\(self.plan.place)/logs/\(fleet.name).json",
        ]
        if !fleet.quirks.isEmpty { words += ["--quirk", fleet.quirks.joined(separator: ",")] }
        try await self.launch(fleet.name, words)
    }

    /// Clients, and those who are none.
    func startVisitors() async throws {
        let file = try FleetOwner.writeTokens(of: self.owners, in: self.plan.place)
        let coap = RunProcess.Program.coapInterface.service
        let http = RunProcess.Program.northbound.service
        try await self.launch(
            "traffic",
            [
                "\(self.plan.products)/chaos", "traffic", "--url", "http://\(http.address):\(http.port)",
                "--token-file", file, "--rate", "\(self.plan.rate)", "--connections", "16", "--seed",
                "\(self.plan.seed)",
            ])
        // One of five vanishes.
        let vanishing = max(1, self.plan.strangers / 5)
        for (name, rate, words) in [
            (Self.strangers[0], max(1, self.plan.strangers - vanishing), []),
            (Self.strangers[1], vanishing, ["--leaving", StrangerLeaving.vanish.rawValue]),
        ] {
            try await self.launch(
                name,
                [
                    "\(self.plan.products)/chaos", "strangers", "--coap", "\(coap.address):\(coap.port)", "--http",
                    "\(http.address):\(http.port)", "--token-file", file, "--rate", "\(rate)", "--seed",
                    "\(self.plan.seed)", "--report", "\(self.plan.place)/logs/\(name).json",
                ] + words)
        }
    }

    private static let strangers = ["strangers", "vanishing"]

    private func launch(_ name: String, _ words: [String]) async throws {
        let host = try await self.network.host(name)
        if name == Self.strangers[1] {
            // Who is not there any more does not answer that he is not.
            try await Self.run(
                host.command(
                    ["/usr/sbin/iptables", "-A", "OUTPUT", "-p", "tcp", "--tcp-flags", "RST", "RST", "-j", "DROP"]))
        }
        let process = try RunProcess.launch(words, on: host, log: "\(self.plan.place)/logs/\(name).log")
        self.processes[name] = (process, host)
        let ending = self.ending
        Task { ending.yield((name, await process.ended(patience: RunProcess.wholeRun).status)) }
    }

    private static func run(_ words: [String]) async throws {
        let ended = try await Subprocess.run(words)
        guard ended.status == 0 else { throw RunError("\(words.joined(separator: " ")): \(ended.errors)") }
    }

    // MARK: - Ending

    /// Ends all but the steady devices.
    /// - Returns: what was wrong with them.
    func stopVisitors() async throws -> [String] {
        let silenced = self.plan.impolite.name
        if let (process, host) = self.processes.removeValue(forKey: silenced) {
            self.stopped.insert(silenced)
            let pod = try await SoakSampler.process(.coapInterface, of: self.cluster)
            try await self.network.cut(host, from: pod.host.address)
            process.signal(SIGKILL)
            _ = await process.ended(patience: Self.patience)
        }
        let names = self.processes.keys.filter { $0 != self.plan.steady.name }
        // Restless devices fail at this and that; what is asked of clients is that they go on.
        return try await self.stop(names, mayFail: Set(self.plan.restless.map(\.name)))
    }

    func stopSteady() async throws -> [String] {
        try await self.stop([self.plan.steady.name], mayFail: [])
    }

    private func stop(_ names: [String], mayFail: Set<String>) async throws -> [String] {
        var complaints: [String] = []
        for name in names {
            self.stopped.insert(name)
            self.processes[name]?.process.signal(SIGTERM)
        }
        for name in names {
            guard let (process, _) = self.processes.removeValue(forKey: name) else { continue }
            let status = await process.ended(patience: Self.patience).status
            guard status != 0, !(mayFail.contains(name) && status == 1) else { continue }
            complaints.append("\(name) ended with status \(status): logs/\(name).log says why.")
        }
        return complaints
    }

    /// Who came.
    func strangers() throws -> [SoakRecord.Strangers] {
        try Self.strangers.map { name in
            let file = "\(self.plan.place)/logs/\(name).json"
            guard let data = FileManager.default.contents(atPath: file) else {
                throw RunError("\(file) is not there: see logs/\(name).log.")
            }
            return try JSONDecoder().decode(SoakRecord.Strangers.self, from: data)
        }
    }
}
