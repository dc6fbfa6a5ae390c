/// What the router does with packets: the whole of it, as `iptables-restore --noflush` reads it.
///
/// Each chain that is declared is emptied first, and a table's lines take effect together, or none does.
struct NetworkRules: Sendable, Hashable {
    struct Cut: Sendable, Hashable {
        let host: String
        let address: String
    }

    /// As a packet goes past the router: from the host, or to it.
    enum Way: String, Sendable, Hashable, CaseIterable {
        case from = "-s"
        case to = "-d"
    }

    struct Loss: Sendable, Hashable {
        let host: String
        let way: Way
    }

    struct Port: Sendable, Hashable {
        let host: String
        let port: Int
    }

    /// Every service there ever was: one without members refuses.
    var members: [Service: [Member]] = [:]
    var cuts: Set<Cut> = []
    /// The share of packets that is lost.
    var losses: [Loss: Double] = [:]
    var resets: [Port: Double] = [:]
    /// A connection bears the number that was current when it began: whoever uses the port of a forgotten one again
    /// begins another.
    var generation = 1
    /// Ports whose connections up to this generation pass no more.
    var forgotten: [Port: Int] = [:]

    /// Once, before anything else: the chains the kernel has of itself lead to ours.
    ///
    /// `INVALID` is what connection tracking cannot place, as a packet far outside its window. It would pass
    /// untranslated, and who gets it from an address it never spoke to resets the connection; kube-proxy drops these
    /// too. What still has a service's address when it is filtered has found no member: it is refused.
    static let base = """
        *nat
        :services - [0:0]
        -A PREROUTING -j services
        -A OUTPUT -j services
        COMMIT
        *mangle
        :generations - [0:0]
        -A PREROUTING -p tcp --syn -j generations
        -A OUTPUT -p tcp --syn -j generations
        COMMIT
        *filter
        :faults - [0:0]
        -A FORWARD -m conntrack --ctstate INVALID -j DROP
        -A FORWARD -j faults
        -A INPUT -j faults
        -A OUTPUT -j faults
        -A FORWARD -d \(Network.serviceAddresses) -p tcp -j REJECT --reject-with tcp-reset
        -A OUTPUT -d \(Network.serviceAddresses) -p tcp -j REJECT --reject-with tcp-reset
        COMMIT

        """

    var text: String {
        let generation = "-A generations -j CONNMARK --set-mark \(self.generation)"
        let lines =
            ["*nat"] + self.services + ["COMMIT", "*mangle", ":generations - [0:0]", generation]
            + ["COMMIT", "*filter", ":faults - [0:0]"] + self.faults + ["COMMIT"]
        return lines.joined(separator: "\n") + "\n"
    }

    /// A table of addresses is asked for a connection's first packet only: what is connected stays where it is.
    private var services: [String] {
        let services = self.members.sorted { $0.key.name < $1.key.name }
        return [":services - [0:0]"] + services.map { ":\(Self.chain(of: $0.key)) - [0:0]" }
            + services.map { service, _ in
                "-A services -d \(service.address) -p tcp --dport \(service.port) -j \(Self.chain(of: service))"
            }
            + services.flatMap { service, members in Self.choice(among: members, in: Self.chain(of: service)) }
    }

    private static func chain(of service: Service) -> String { "to-\(service.name)" }

    /// The k-th of n rules is asked when those before it did not take the connection; with 1/(n - k) each, counted from
    /// 0, every member gets 1/n.
    private static func choice(among members: [Member], in chain: String) -> [String] {
        members.enumerated().map { index, member in
            let left = members.count - index
            let odds =
                left == 1 ? "" : " -m statistic --mode random --probability \(Self.decimal(1 / Double(left)))"
            return "-A \(chain) -p tcp\(odds) -j DNAT --to-destination \(member.address):\(member.port)"
        }
    }

    private var faults: [String] {
        let cuts = self.cuts.sorted { ($0.host, $0.address) < ($1.host, $1.address) }.flatMap { cut in
            [
                "-A faults -s \(cut.host) -d \(cut.address) -j DROP",
                "-A faults -s \(cut.address) -d \(cut.host) -j DROP",
            ]
        }
        let forgotten = self.forgotten.sorted { ($0.key.host, $0.key.port) < ($1.key.host, $1.key.port) }
            .flatMap { port, last in
                ["-s \(port.host) -p tcp --sport", "-d \(port.host) -p tcp --dport"].flatMap { end in
                    (1...last).map { "-A faults \(end) \(port.port) -m connmark --mark \($0) -j DROP" }
                }
            }
        // The router's own packets pass here as well, the resets of the rules below among them: those are not reset
        // again, which would only drop them.
        let resets = self.resets.sorted { ($0.key.host, $0.key.port) < ($1.key.host, $1.key.port) }
            .flatMap { reset, share in
                ["-s \(reset.host)", "-d \(reset.host)"].flatMap { end in
                    ["--sport", "--dport"].map { side in
                        "-A faults \(end) -p tcp \(side) \(reset.port) ! --tcp-flags RST RST -m statistic --mode random"
                            + " --probability \(Self.decimal(share)) -j REJECT --reject-with tcp-reset"
                    }
                }
            }
        let losses = self.losses.map { loss, share in
            "-A faults \(loss.way.rawValue) \(loss.host) -m statistic --mode random"
                + " --probability \(Self.decimal(share)) -j DROP"
        }.sorted()
        return cuts + forgotten + resets + losses
    }

    /// Ten digits, as kube-proxy writes them; the kernel keeps 31 bits.
    static func decimal(_ share: Double) -> String {
        let digits = String(Int((share * 10_000_000_000).rounded()))
        let padded = String(repeating: "0", count: max(0, 11 - digits.count)) + digits
        return "\(padded.dropLast(10)).\(padded.suffix(10))"
    }
}
