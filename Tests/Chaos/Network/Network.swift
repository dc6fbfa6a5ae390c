import Foundation
import TestServers
import TestSupport

/// The network of a run: hosts in namespaces of their own around a router, which is the namespace this process is in.
///
/// It takes nothing back: it is gone with that namespace, which `scripts/chaos` made for this run alone.
package actor Network {
    /// Where services have their addresses.
    static let serviceAddresses = "10.91.255.0/24"
    /// Under which address the router itself speaks to services.
    package static let routerAddress = "10.91.254.254"

    private var rules = NetworkRules()
    private var hosts: Set<Host> = []
    private var hostsMade = 0
    private var ownAddresses: Set<Int> = []
    /// One after the other: what is applied later is what was wanted later.
    private var isApplying = false
    private var waiting: [CheckedContinuation<Void, Never>] = []

    /// Makes this namespace a router. Refuses in any but one that `scripts/namespaces` made for it.
    package init() async throws {
        try Self.refuseForeignNamespace()
        // Ports that are in use again and again are what ends a run of many connections: their range is wide, and what
        // is over is forgotten soon. Where connection tracking cannot be set, in an ordinary user's namespace, its
        // defaults serve a short run.
        try await Self.run(
            """
            \(Self.portSettings)
            echo 1 > /proc/sys/net/ipv4/ip_forward
            conntrack() {
                if [ -w "/proc/sys/net/netfilter/nf_conntrack_$1" ]; then
                    echo "$2" > "/proc/sys/net/netfilter/nf_conntrack_$1"
                fi
            }
            conntrack tcp_timeout_time_wait 5
            conntrack tcp_be_liberal 1
            ip link set lo up
            ip address add \(Self.routerAddress)/32 dev lo
            ip route add \(Self.serviceAddresses) dev lo src \(Self.routerAddress)
            """)
        try await Self.restore(NetworkRules.base)
    }

    // MARK: - Hosts

    /// A machine with one address, default route to the router.
    ///
    /// - Parameter name: up to 20 letters, digits and hyphens, of its own in a run.
    package func host(_ name: String) async throws -> Host {
        try Self.checkName(name)
        guard self.hostsMade < 250 else {
            throw PeerError("no host \(name): a run has at most 250, and addresses are not given out again")
        }
        guard !self.hosts.contains(where: { $0.name == name }) else {
            throw PeerError("there is a host \(name) already")
        }
        self.hostsMade += 1
        let host = Host(name: name, number: self.hostsMade)
        self.hosts.insert(host)
        try await Self.run(
            """
            ip netns add \(name)
            ip link add \(host.interface) type veth peer name eth0 netns \(name)
            ip address add \(host.gateway)/30 dev \(host.interface)
            ip link set \(host.interface) up
            exec nsenter --net=\(host.namespace) -- sh -e -c '
                \(Self.portSettings)
                ip link set lo up
                ip address add \(host.address)/30 dev eth0
                ip link set eth0 up
                ip route add default via \(host.gateway)
            '
            """)
        return host
    }

    /// Takes the host off the network, and what was to happen to it. Its processes are not ended.
    package func remove(_ host: Host) async throws {
        guard self.hosts.remove(host) != nil else { throw PeerError("there is no host \(host.name)") }
        self.rules.cuts = self.rules.cuts.filter { $0.host != host.address && $0.address != host.address }
        self.rules.forgotten = self.rules.forgotten.filter { $0.key.host != host.address }
        self.forget(host)
        try await self.apply()
        try await Self.run(
            """
            ip link delete \(host.interface)
            ip netns delete \(host.name)
            """)
    }

    /// An address of the router itself, for servers that run here: 10.91.254.N.
    package func ownAddress(_ number: Int) async throws -> String {
        guard (1...253).contains(number) else { throw PeerError("no address \(number) of the router: 1 to 253 are") }
        let address = "10.91.254.\(number)"
        if self.ownAddresses.insert(number).inserted {
            try await Self.run("ip address add \(address)/32 dev lo")
        }
        return address
    }

    // MARK: - Services

    /// One address for many members, chosen at random for each new connection as kube-proxy does; existing connections
    /// keep theirs. Without members connections are refused. A member is no client of its own service.
    package func setMembers(_ members: [Member], of service: Service) async throws {
        try Self.checkName(service.name)
        if let other = self.rules.members.keys.first(where: { known in
            known != service
                && (known.name == service.name
                    || (known.address == service.address && known.port == service.port))
        }) {
            throw PeerError("service \(service.name) is in the way of service \(other.name): give it another number")
        }
        self.rules.members[service] = members
        try await self.apply()
    }

    // MARK: - Faults

    /// From here on nothing passes between them, in either direction, and neither is told.
    ///
    /// - Parameter address: a host's or the router's own; a service's has been a member's by then.
    package func cut(_ host: Host, from address: String) async throws {
        guard !address.hasPrefix("10.91.255.") else {
            throw PeerError("\(address) is a service's, whose packets bear a member's address: cut from its members")
        }
        self.rules.cuts.insert(.init(host: host.address, address: address))
        try await self.apply()
    }

    package func mend(_ host: Host, _ address: String) async throws {
        self.rules.cuts.remove(.init(host: host.address, address: address))
        try await self.apply()
    }

    /// Loses this share of the host's packets, each way or only of those to it.
    package func lose(_ share: Double, at host: Host, onlyTo: Bool = false) async throws {
        try Self.checkShare(share)
        self.rules.losses[.init(host: host.address, way: .to)] = share
        self.rules.losses[.init(host: host.address, way: .from)] = onlyTo ? nil : share
        try await self.apply()
    }

    /// Answers this share of the packets to and from the port with a reset, whichever end the host is; a service's port
    /// has been its member's by then.
    package func reset(_ share: Double, at host: Host, port: Int) async throws {
        try Self.checkShare(share)
        self.rules.resets[.init(host: host.address, port: port)] = share
        try await self.apply()
    }

    /// Ends all connections of the host to this port; both ends hear of it.
    package func abort(_ host: Host, to port: Int) async throws {
        try await Self.run(
            "exec nsenter --net=\(host.namespace) -- ss --kill --tcp state established dport = :\(port) >/dev/null")
    }

    /// What is connected with this port of the host passes no more, in either direction, and neither end is told; what
    /// connects from here on does.
    package func forget(_ host: Host, port: Int) async throws {
        self.rules.forgotten[.init(host: host.address, port: port)] = self.rules.generation
        self.rules.generation += 1
        try await self.apply()
    }

    /// Ends losses and resets. What is forgotten stays so.
    package func heal(_ host: Host) async throws {
        self.forget(host)
        try await self.apply()
    }

    private func forget(_ host: Host) {
        self.rules.losses = self.rules.losses.filter { $0.key.host != host.address }
        self.rules.resets = self.rules.resets.filter { $0.key.host != host.address }
    }
    // MARK: - How it is done

    /// Puts the rules in force as they are when its turn comes.
    private func apply() async throws {
        if self.isApplying {
            // The turn is handed on: nobody gets between.
            await withCheckedContinuation { self.waiting.append($0) }
        }
        self.isApplying = true
        defer {
            if self.waiting.isEmpty { self.isApplying = false } else { self.waiting.removeFirst().resume() }
        }
        try await Self.restore(self.rules.text)
    }

    private static func restore(_ rules: String) async throws {
        let file = "\(Self.folder)/rules"
        try rules.write(toFile: file, atomically: true, encoding: .utf8)
        try await Self.run("iptables-restore --noflush \(file)")
    }

    /// Runs a few lines of shell; the first that fails is the last.
    private static func run(_ lines: String) async throws {
        // Ordinary users do not have these folders in their path.
        let path = (ProcessInfo.processInfo.environment["PATH"] ?? "/usr/bin:/bin") + ":/usr/sbin:/sbin"
        let ended = try await Subprocess.run(["/bin/sh", "-e", "-c", lines], environment: ["PATH": path])
        guard ended.status == 0 else {
            throw PeerError("the network cannot be changed: \(ended.errors)The lines were:\n\(lines)")
        }
    }

    private static let portSettings = """
        echo 1024 65535 > /proc/sys/net/ipv4/ip_local_port_range
        echo 1 > /proc/sys/net/ipv4/tcp_tw_reuse
        """

    /// Gone with the run: it is on a file system of the run's own.
    private static let folder = "/run"

    /// Every rule made here holds for all of a namespace. `scripts/namespaces` leaves word of the one it made, in a
    /// file system that only that one has.
    private static func refuseForeignNamespace() throws {
        let made = try? String(contentsOfFile: "\(Self.folder)/network-of-run", encoding: .utf8)
        let here = try FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/ns/net")
        guard let made, made == here + "\n" else {
            throw PeerError(
                "this is no network namespace made for a run, and its rules are not ours to change: start with"
                    + " scripts/chaos")
        }
    }

    private static func checkName(_ name: String) throws {
        let letters = Set("abcdefghijklmnopqrstuvwxyz0123456789-")
        guard (1...20).contains(name.count), name.allSatisfy(letters.contains)
        else { throw PeerError("\"\(name)\" names nothing here: 1 to 20 small letters, digits and hyphens do") }
    }

    private static func checkShare(_ share: Double) throws {
        guard share > 0, share <= 1 else { throw PeerError("\(share) is no share: above 0, at most 1") }
    }
}
