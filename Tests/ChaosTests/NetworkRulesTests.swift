import Foundation
import TestSupport
import Testing

@testable import Chaos

@Suite("The rules of a run's router")
struct NetworkRulesTests {
    private static func members(_ count: Int) -> [Member] {
        (1...count).map { Member(name: "pod-\($0)", address: "10.91.\($0).2", port: 5683) }
    }

    @Test("Each service has a chain, in which a connection meets its member at random")
    func text() {
        var rules = NetworkRules()
        rules.members[Service("coap", number: 1, port: 5683)] = Self.members(3)
        rules.members[Service("http", number: 2, port: 80)] = []
        #expect(
            rules.text == """
                *nat
                :services - [0:0]
                :to-coap - [0:0]
                :to-http - [0:0]
                -A services -d 10.91.255.1 -p tcp --dport 5683 -j to-coap
                -A services -d 10.91.255.2 -p tcp --dport 80 -j to-http
                -A to-coap -p tcp -m statistic --mode random --probability 0.3333333333 -j DNAT \
                --to-destination 10.91.1.2:5683
                -A to-coap -p tcp -m statistic --mode random --probability 0.5000000000 -j DNAT \
                --to-destination 10.91.2.2:5683
                -A to-coap -p tcp -j DNAT --to-destination 10.91.3.2:5683
                COMMIT
                *mangle
                :generations - [0:0]
                -A generations -j CONNMARK --set-mark 1
                COMMIT
                *filter
                :faults - [0:0]
                COMMIT

                """)
    }

    @Test("A chain brings each of its members an even share, and every connection to one", arguments: [1, 2, 3, 7, 12])
    func evenShares(count: Int) throws {
        var rules = NetworkRules()
        rules.members[Service("coap", number: 1, port: 5683)] = Self.members(count)
        let chain = rules.text.split(separator: "\n").filter { $0.hasPrefix("-A to-coap") }.map { line in
            let words = line.split(separator: " ")
            return (
                probability: words.firstIndex(of: "--probability").flatMap { Double(words[$0 + 1]) } ?? 1,
                target: String(words[words.count - 1])
            )
        }
        #expect(Set(chain.map(\.target)) == Set(Self.members(count).map { "\($0.address):\($0.port)" }))
        #expect(chain.last?.probability == 1)
        // What the rules before a rule leave over.
        var left = 1.0
        for rule in chain {
            #expect(abs(left * rule.probability - 1 / Double(count)) < 1e-8)
            left *= 1 - rule.probability
        }

        var generator = SeededGenerator(seed: UInt64(count))
        var met: [String: Int] = [:]
        let connections = 10_000
        for _ in 0..<connections {
            let rule = chain.first { Double.random(in: 0..<1, using: &generator) < $0.probability }
            met[try #require(rule).target, default: 0] += 1
        }
        let mean = Double(connections) / Double(count)
        // Five standard deviations: less often than once in a million runs of other seeds.
        let tolerance = 5 * (mean * (1 - 1 / Double(count))).squareRoot()
        for member in met.values { #expect(abs(Double(member) - mean) <= tolerance) }
    }

    @Test("Faults are of both directions, each of the host it is meant for")
    func faults() {
        var rules = NetworkRules()
        rules.cuts = [.init(host: "10.91.1.2", address: "10.91.254.1")]
        rules.losses = [
            .init(host: "10.91.2.2", way: .from): 0.05, .init(host: "10.91.2.2", way: .to): 0.05,
            .init(host: "10.91.5.2", way: .to): 0.2,
        ]
        rules.resets = [.init(host: "10.91.3.2", port: 5683): 1]
        rules.forgotten = [.init(host: "10.91.4.2", port: 5683): 2]
        let faults = rules.text.split(separator: "\n").filter { $0.hasPrefix("-A faults") }.map {
            $0.dropFirst("-A faults ".count)
        }
        let reset = "! --tcp-flags RST RST -m statistic --mode random --probability 1.0000000000"
        let answer = "-j REJECT --reject-with tcp-reset"
        #expect(
            faults == [
                "-s 10.91.1.2 -d 10.91.254.1 -j DROP",
                "-s 10.91.254.1 -d 10.91.1.2 -j DROP",
                "-s 10.91.4.2 -p tcp --sport 5683 -m connmark --mark 1 -j DROP",
                "-s 10.91.4.2 -p tcp --sport 5683 -m connmark --mark 2 -j DROP",
                "-d 10.91.4.2 -p tcp --dport 5683 -m connmark --mark 1 -j DROP",
                "-d 10.91.4.2 -p tcp --dport 5683 -m connmark --mark 2 -j DROP",
                "-s 10.91.3.2 -p tcp --sport 5683 \(reset) \(answer)",
                "-s 10.91.3.2 -p tcp --dport 5683 \(reset) \(answer)",
                "-d 10.91.3.2 -p tcp --sport 5683 \(reset) \(answer)",
                "-d 10.91.3.2 -p tcp --dport 5683 \(reset) \(answer)",
                "-d 10.91.2.2 -m statistic --mode random --probability 0.0500000000 -j DROP",
                "-d 10.91.5.2 -m statistic --mode random --probability 0.2000000000 -j DROP",
                "-s 10.91.2.2 -m statistic --mode random --probability 0.0500000000 -j DROP",
            ])
    }

    @Test("A network is refused where none was made for a run")
    func foreignNamespace() async {
        let error = await #expect(throws: PeerError.self) { _ = try await Network() }
        #expect(error?.description.contains("scripts/chaos") == true)
    }
}
