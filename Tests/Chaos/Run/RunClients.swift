import Foundation
import Glibc
import TestServers
import TestSupport

/// All who are outside: the fleets and the HTTP traffic, on one host, each a process of its own.
actor RunClients {
    private let plan: RunPlan
    private let cluster: RunCluster
    private let host: Host
    private let log: RunLog
    private var fleets: [(name: String, process: Subprocess)] = []
    private var relay: Subprocess?
    private var traffic: Subprocess?
    private var owners: [FleetOwner] = []
    /// Who was told to stop.
    private var stopped: Set<String> = []
    private let endings: AsyncStream<(name: String, status: Int32)>
    private let ending: AsyncStream<(name: String, status: Int32)>.Continuation

    init(_ plan: RunPlan, cluster: RunCluster, host: Host, log: RunLog) {
        self.log = log
        self.plan = plan
        self.cluster = cluster
        self.host = host
        (self.endings, self.ending) = AsyncStream.makeStream()
    }

    /// Until the task is cancelled.
    /// - Throws: ``RunError`` when one ends unasked: without it nothing can be concluded.
    func watch() async throws {
        for await (name, status) in self.endings where !self.stopped.contains(name) {
            throw RunError("\(name) ended unasked with \(status): see logs/\(name).log in the run's folder.")
        }
    }

    // MARK: Devices

    func startFleets() async throws {
        let coap = RunProcess.Program.coapInterface.service
        let http = RunProcess.Program.northbound.service
        if self.plan.fleets.contains(where: \.isFar) {
            self.relay = try self.launch(
                [
                    "\(self.plan.products)/chaos", "relay", "--host", self.host.address, "--port", "\(Self.relayPort)",
                    "--target-host", coap.address, "--target-port", "\(coap.port)", "--delay", "500",
                ], log: "relay")
        }
        for (index, fleet) in self.plan.fleets.enumerated() {
            let owner = try await FleetOwner.register(
                fleet.name, devices: fleet.devices, prefix: fleet.prefix, at: self.cluster.http)
            self.owners.append(owner)
            let address = fleet.isFar ? (self.host.address, Self.relayPort) : (coap.address, coap.port)
            let process = try self.launch(
                [
                    "\(self.plan.products)/mock-device", "run", "--address", "\(address.0):\(address.1)",
                    "--northbound", "http://\(http.address):\(http.port)", "--mediator-token", owner.mediator,
                    "--profile", fleet.profile, "--devices", "\(fleet.devices)", "--prefix", fleet.prefix,
                    "--rate", "\(max(1, self.plan.ramp * fleet.devices / self.plan.devices))/s",
                    "--delay-share", "5%", "--delay", "2s", "--seed", "\(self.plan.seed &+ UInt64(index))",
                    "--history", "\(self.plan.place)/fleet-\(fleet.name).jsonl",
                    "--report", "\(self.plan.place)/logs/fleet-\(fleet.name).json",
                ], log: "fleet-\(fleet.name)")
            self.fleets.append((fleet.name, process))
        }
    }

    private static let relayPort = 5700

    // MARK: Clients

    func startTraffic() throws {
        let file = try FleetOwner.writeTokens(of: self.owners, in: self.plan.place)
        let http = RunProcess.Program.northbound.service
        self.traffic = try self.launch(
            [
                "\(self.plan.products)/chaos", "traffic", "--url", "http://\(http.address):\(http.port)",
                "--token-file", file, "--rate", "\(self.plan.rate)", "--connections", "\(self.plan.connections)",
                "--posts", "30%", "--presence", "\(self.plan.presenceInterval)s", "--history",
                "\(self.plan.place)/traffic.jsonl", "--seed", "\(self.plan.seed)",
            ], log: "traffic")
    }

    func stopTraffic() async throws {
        guard let traffic = self.traffic else { return }
        self.traffic = nil
        self.stopped.insert("traffic")
        self.log.note(.stopping) { $0.process = "traffic" }
        traffic.signal(SIGTERM)
        let status = await traffic.ended(patience: 90).status
        self.log.note(.ended) {
            $0.process = "traffic"
            $0.status = Int(status)
        }
        guard status == 0 else {
            throw RunError("The traffic ended with \(status): see logs/traffic.log in the run's folder.")
        }
    }

    func stopFleets() async throws {
        for fleet in self.fleets {
            self.stopped.insert("fleet-\(fleet.name)")
            fleet.process.signal(SIGTERM)
        }
        for fleet in self.fleets {
            let status = await fleet.process.ended(patience: 60).status
            guard status == 0 else {
                throw RunError("The fleet \(fleet.name) ended with \(status): see logs/fleet-\(fleet.name).log.")
            }
        }
        self.fleets = []
        self.stopped.insert("relay")
        self.relay?.signal(SIGTERM)
    }

    private func launch(_ words: [String], log: String) throws -> Subprocess {
        let process = try RunProcess.launch(words, on: self.host, log: "\(self.plan.place)/logs/\(log).log")
        let ending = self.ending
        Task { ending.yield((log, await process.ended(patience: RunProcess.wholeRun).status)) }
        return process
    }
}
