import TestSupport
import Testing

@testable import Chaos

@Suite("What a balancer learns late")
struct BelatedMembersTests {
    private static let delay = Duration.seconds(1) ... .seconds(10)

    /// When the members change, to what, asked every 10 ms.
    private static func changes(
        of belated: inout BelatedMembers, from start: Duration, to end: Duration
    ) -> [(at: Duration, members: [String])] {
        var changes: [(at: Duration, members: [String])] = []
        var now = start
        while now <= end {
            if let members = belated.learn(now: now) { changes.append((now, members)) }
            now += .milliseconds(10)
        }
        return changes
    }

    @Test("Every change is learnt 1 to 10 s after it was seen, each after a time of its own", arguments: 1...50)
    func late(seed: Int) throws {
        var belated = BelatedMembers(delay: Self.delay, seed: UInt64(seed))
        belated.watch("a")
        belated.watch("b")
        #expect(belated.learn(now: .zero) == nil)
        belated.saw("a", isReady: true, now: .zero)
        belated.saw("b", isReady: true, now: .zero)
        let first = Self.changes(of: &belated, from: .zero, to: .seconds(11))
        #expect(first.count == 2)
        #expect(first.allSatisfy { Self.delay.contains($0.at) })
        #expect(first.last?.members == ["a", "b"])
        // Seen many times, learnt once.
        for second in 11...20 { belated.saw("a", isReady: false, now: .seconds(second)) }
        let second = Self.changes(of: &belated, from: .seconds(11), to: .seconds(40))
        #expect(second.map(\.members) == [["b"]])
        #expect(second.allSatisfy { Self.delay.contains($0.at - .seconds(11)) })
        #expect(belated.nextNews == nil)
    }

    @Test("The delays are spread over the whole of their range")
    func spread() {
        var belated = BelatedMembers(delay: Self.delay, seed: 1)
        let names = (0..<1000).map { "pod-\($0)" }
        for name in names {
            belated.watch(name)
            belated.saw(name, isReady: true, now: .zero)
        }
        for second in 1...9 {
            _ = belated.learn(now: .seconds(second))
            let share = Double(belated.members.count) / 1000
            #expect(abs(share - Double(second - 1) / 9) < 0.06)
        }
    }

    @Test("What was seen last is what is learnt last, however readiness flaps", arguments: 1...200)
    func flapping(seed: Int) {
        var generator = SeededGenerator(seed: UInt64(seed))
        var belated = BelatedMembers(delay: Self.delay, seed: UInt64(seed))
        belated.watch("a")
        var seen: [(at: Duration, isReady: Bool)] = [(.zero, false)]
        var learnt = 0
        var last = Duration.zero
        var now = Duration.zero
        while now <= .seconds(40) {
            if now <= .seconds(20), now >= last {
                seen.append((now, !seen[seen.count - 1].isReady))
                belated.saw("a", isReady: seen[seen.count - 1].isReady, now: now)
                last = now + .milliseconds(Int.random(in: 100...3000, using: &generator))
            }
            if let members = belated.learn(now: now) {
                // It is what was seen at a moment 1 to 10 s ago, and no moment before the one learnt of last.
                let moment = seen.indices.first { index in
                    index > learnt && seen[index].isReady == (members == ["a"])
                        && Self.delay.contains(now - seen[index].at)
                }
                #expect(moment != nil)
                learnt = moment ?? learnt
            }
            now += .milliseconds(10)
        }
        #expect(belated.members == (seen[seen.count - 1].isReady ? ["a"] : []))
    }

    @Test("What is overtaken is never learnt")
    func overtaken() throws {
        // A seed with which the second change is learnt before the first would have been.
        let seed = try #require(
            (1...100).first { seed in
                var belated = BelatedMembers(delay: Self.delay, seed: UInt64(seed))
                belated.watch("a")
                belated.saw("a", isReady: true, now: .zero)
                let first = belated.nextNews
                belated.saw("a", isReady: false, now: .seconds(1))
                return first.map { $0 > .seconds(5) } == true && belated.nextNews == nil
            })
        var belated = BelatedMembers(delay: Self.delay, seed: UInt64(seed))
        belated.watch("a")
        belated.saw("a", isReady: true, now: .zero)
        belated.saw("a", isReady: false, now: .seconds(1))
        #expect(Self.changes(of: &belated, from: .zero, to: .seconds(30)).isEmpty)
    }

    @Test("Who is gone is learnt of as late as everything else, and leaves nothing behind")
    func forgotten() {
        var belated = BelatedMembers(delay: Self.delay, seed: 1)
        belated.watch("a")
        belated.saw("a", isReady: true, now: .zero)
        #expect(belated.learn(now: .seconds(10)) == ["a"])
        belated.forget("a", now: .seconds(20))
        // An answer that was on its way is nobody's.
        belated.saw("a", isReady: true, now: .seconds(20))
        #expect(belated.learn(now: .seconds(20)) == nil)
        let changes = Self.changes(of: &belated, from: .seconds(20), to: .seconds(31))
        #expect(changes.map(\.members) == [[]])
        #expect(changes.allSatisfy { Self.delay.contains($0.at - .seconds(20)) })
        #expect(belated.isEmpty)
    }
}
