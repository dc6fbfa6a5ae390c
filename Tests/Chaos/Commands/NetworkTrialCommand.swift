import ArgumentParser
import Glibc
import NIOCore
import TestServers
import TestSupport

/// `chaos network-trial`: a network, and whether it does what it says.
struct NetworkTrialCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "network-trial", abstract: "Make a network, try it out and say what came of it.",
        shouldDisplay: false)

    @Option(help: "How many connections to spread.")
    var connections = 300

    func run() async throws {
        let network = try await Network()
        let program = "\(Subprocess.products)/chaos"
        var members: [Member] = []
        var hosts: [Host] = []
        for name in ["one", "two", "three"] {
            let host = try await network.host(name)
            // It ends with the namespace of processes it is in.
            let server = try await ServerProcess(
                host.command([program, "echo", "--host", host.address, "--port", "7000", "--name", name]))
            try await server.waitFor("\(name) listens")
            hosts.append(host)
            members.append(Member(name: name, address: host.address, port: 7000))
        }
        let client = try await network.host("client")
        let (three, last) = (hosts[2], members[2])
        let service = Service("echoes", number: 1, port: 80)

        try await network.setMembers([], of: service)
        self.say("empty, by the router", await self.ask(service.address, service.port))
        self.say("empty, by a host", try await Asker(client, program, to: service.address, service.port, 1).answer())

        try await network.setMembers(members, of: service)
        self.say("spread, by the router", await self.ask(service.address, service.port, count: self.connections))
        let held = try Asker(client, program, to: service.address, service.port, self.connections)
        self.say("spread, by a host", try await held.answer())

        try await network.setMembers([last], of: service)
        self.say("held, when two left", try await held.askAgain())
        self.say("new, when two left", try await Asker(client, program, to: service.address, service.port, 20).answer())
        try await network.setMembers([], of: service)
        self.say("held, when all left", try await held.askAgain())
        self.say("new, when all left", try await Asker(client, program, to: service.address, service.port, 1).answer())

        let own = try await network.ownAddress(1)
        let server = try await NamingServer.start(on: own, port: 7000, name: "router")
        self.say("the router's own address", try await Asker(client, program, to: own, 7000, 1).answer())
        try await network.cut(client, from: own)
        self.say("cut from the router", try await Asker(client, program, to: own, 7000, 1).answer())
        try await network.mend(client, own)
        self.say("mended with the router", try await Asker(client, program, to: own, 7000, 1).answer())
        try await server.stop()

        for (fault, begin, end) in self.faults(network, three, client) {
            let open = try Asker(client, program, to: three.address, 7000, 1)
            _ = try await open.answer()
            try await begin()
            self.say("\(fault): new", try await Asker(client, program, to: three.address, 7000, 1).answer())
            self.say("\(fault): open", try await open.askAgain())
            self.say("\(fault): others", try await Asker(client, program, to: hosts[0].address, 7000, 1).answer())
            try await end()
            self.say("\(fault), ended: new", try await Asker(client, program, to: three.address, 7000, 1).answer())
        }
        let aborted = try Asker(client, program, to: three.address, 7000, 1)
        _ = try await aborted.answer()
        try await network.abort(client, to: 7000)
        self.say("aborted: open", try await aborted.askAgain())
        self.say("aborted: new", try await Asker(client, program, to: three.address, 7000, 1).answer())
        let forgotten = try Asker(client, program, to: three.address, 7000, 1)
        _ = try await forgotten.answer()
        try await network.forget(three, port: 7000)
        self.say("forgotten: open", try await forgotten.askAgain())
        self.say("forgotten: new", try await Asker(client, program, to: three.address, 7000, 1).answer())
        try await network.lose(0.05, at: three)
        self.say(
            "a twentieth lost", try await Asker(client, program, to: three.address, 7000, 50, patience: 30).answer())
        try await network.remove(three)
        self.say("removed", try await Asker(client, program, to: three.address, 7000, 1).answer())
    }

    private typealias Step = () async throws -> Void

    private func faults(
        _ network: Network, _ host: Host, _ client: Host
    ) -> [(name: String, begin: Step, end: Step)] {
        [
            (
                "cut", { try await network.cut(client, from: host.address) },
                { try await network.mend(client, host.address) }
            ),
            ("all lost", { try await network.lose(1, at: host) }, { try await network.heal(host) }),
            ("all reset", { try await network.reset(1, at: host, port: 7000) }, { try await network.heal(host) }),
        ]
    }

    private func ask(_ host: String, _ port: Int, count: Int = 1) async -> String {
        let clients = await NamingClients(count, to: host, port: port, within: .seconds(2))
        defer { clients.close() }
        return clients.summary
    }

    private func say(_ what: String, _ came: String) {
        print("\(what): \(came)")
        fflush(nil)
    }
}

/// `chaos ask` on a host.
private final class Asker {
    private let process: Subprocess
    private var asked = 0

    init(_ host: Host, _ program: String, to address: String, _ port: Int, _ count: Int, patience: Int = 2) throws {
        self.process = try Subprocess(
            host.command([
                program, "ask", "--host", address, "--port", "\(port)", "--count", "\(count)", "--patience",
                "\(patience)",
            ]))
    }

    /// Whom its connections were led to; they stay open.
    func answer() async throws -> String {
        self.asked += 1
        try await self.process.waitFor("asked \(self.asked)\n")
        return String(self.process.outputSoFar.split(separator: "\n").dropLast().last ?? "")
    }

    /// How many of them still answer.
    func askAgain() async throws -> String {
        try self.process.type("\n")
        return try await self.answer()
    }
}
