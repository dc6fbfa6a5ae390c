import Testing

@testable import Cloud

@Suite("Codes that need no count")
struct CodeAllowancesTests {
    private let allowances = CodeAllowances()

    private func taken(_ uid: UserID) -> Int {
        var count = 0
        while self.allowances.take(for: uid) { count += 1 }
        return count
    }

    @Test("Nobody has any before he was counted")
    func nothing() throws {
        #expect(!self.allowances.take(for: try UserID("alice")))
    }

    @Test(
        "Behind a count it is an eighth of what is left, and near the limit none",
        arguments: [(0, 80, 10), (40, 80, 5), (72, 80, 1), (73, 80, 0), (80, 80, 0), (90, 80, 0), (0, 3, 0)])
    func share(outstanding: Int, limit: Int, expected: Int) throws {
        let alice = try UserID("alice")
        self.allowances.counted(outstanding, of: alice, limit: limit)
        #expect(self.taken(try UserID("bob")) == 0)
        #expect(self.taken(alice) == expected)
    }

    @Test("A later count stands in the place of what was left")
    func again() throws {
        let alice = try UserID("alice")
        self.allowances.counted(0, of: alice, limit: 80)
        self.allowances.counted(79, of: alice, limit: 80)
        #expect(self.taken(alice) == 0)
    }

    @Test("Where there are too many users, some are counted once more")
    func bound() throws {
        let first = try UserID("user-0")
        for number in 0..<CodeAllowances.maximumUsers {
            self.allowances.counted(0, of: try UserID("user-\(number)"), limit: 80)
        }
        #expect(self.allowances.take(for: first))
        let last = try UserID("one-more")
        self.allowances.counted(0, of: last, limit: 80)
        #expect(!self.allowances.take(for: first))
        #expect(self.allowances.take(for: last))
    }
}
