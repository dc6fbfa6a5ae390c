import Cloud
import CoAPTransport
import TestSupport
import Testing

@testable import CoAPInterface

@Suite("Which pod a device that is asked to go is told of")
struct AlternativePodsTests {
    private static func pod(_ name: String, _ sessions: Int, isDraining: Bool = false, hasAddress: Bool = true)
        -> LeasedPod
    {
        LeasedPod(
            pod: Pod(name: name), sessions: sessions, isDraining: isDraining, age: .zero, countAge: .zero,
            endpoints: hasAddress ? ["coap+tcp://\(name):5683"] : [])
    }

    /// How often each is named.
    private static func named(_ pods: LeasedPod..., own: String = "a") -> [String: Int] {
        var random = SeededGenerator(seed: 7)
        let alternatives = AlternativePods(pods, own: own)
        return (0..<1000).reduce(into: [:]) { counts, _ in
            counts[alternatives.address(for: .tcp, random: &random) ?? "-", default: 0] += 1
        }
    }

    @Test("By how much each has less than its share, and never one that has more, itself, or one that drains")
    func byRoom() {
        // The mean is 100.
        let named = Self.named(
            Self.pod("a", 200), Self.pod("b", 120), Self.pod("c", 10), Self.pod("d", 70),
            Self.pod("e", 0, isDraining: true))
        #expect(Set(named.keys) == ["c:5683", "d:5683"])
        #expect((700...800).contains(named["c:5683"] ?? 0), "\(named)")
    }

    @Test("A pod that drains names all others alike where none has less than its share")
    func even() {
        let named = Self.named(
            Self.pod("a", 0, isDraining: true), Self.pod("b", 50), Self.pod("c", 50), Self.pod("d", 50))
        #expect(named.count == 3)
        #expect(named.values.allSatisfy { $0 > 250 }, "\(named)")
    }

    @Test("Where those that have room do not say where they are, none is named: the balancer may find them")
    func room() {
        let named = Self.named(Self.pod("a", 100), Self.pod("b", 100), Self.pod("c", 0, hasAddress: false))
        #expect(named == ["-": 1000])
    }

    @Test("Where no other pod says where it is, none is named")
    func none() {
        #expect(Self.named(Self.pod("a", 100), Self.pod("b", 0, hasAddress: false)) == ["-": 1000])
        #expect(Self.named() == ["-": 1000])
        var random = SeededGenerator(seed: 7)
        let alternatives = AlternativePods([Self.pod("b", 0)], own: "a")
        #expect(alternatives.address(for: .tls, random: &random) == nil)
    }
}
