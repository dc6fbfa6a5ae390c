import CoAP
import OCF
import Testing

@Suite("Queries")
struct QueryTests {
    private func pairs(_ queries: [String]) throws -> [[String]] {
        var options = Options()
        options.queries = queries
        return try Query(options).pairs.map { [$0.name, $0.value] }
    }

    @Test("RFC 7252 §6.4: one Uri-Query is one name and value; & and ; divide older stacks' options")
    func pieces() throws {
        #expect(try self.pairs(["di=1", "ins=2", "ins=3"]) == [["di", "1"], ["ins", "2"], ["ins", "3"]])
        #expect(try self.pairs(["di=1&ins=2&ins=3"]) == [["di", "1"], ["ins", "2"], ["ins", "3"]])
        #expect(try self.pairs(["rt=a;if=b"]) == [["rt", "a"], ["if", "b"]])
        #expect(
            try self.pairs(["", "login", "a=", "=b", "a=b=c"]) == [
                ["login", ""], ["a", ""], ["", "b"], ["a", "b=c"],
            ])
    }

    @Test("The id rule allows & and ; in ids: they divide only where a name and = follow")
    func separatorsInValues() throws {
        #expect(try self.pairs(["di=a&b;c"]) == [["di", "a&b;c"]])
        #expect(try self.pairs(["di=a&b;c&uid=d;"]) == [["di", "a&b;c"], ["uid", "d;"]])
        #expect(try self.pairs(["&&di=1"]) == [["&", ""], ["di", "1"]])
        #expect(try self.pairs(["di=水&x.y-z_1=2"]) == [["di", "水"], ["x.y-z_1", "2"]])
    }

    @Test("BI-21: text that is not UTF-8 is 4.00, more than 1,024 queries are 4.13")
    func refused() throws {
        var options = Options()
        options.append(.uriQuery, bytes: [0x64, 0x69, 0x3D, 0xFF])
        let malformed = #expect(throws: PayloadError.self) { try Query(options) }
        #expect(malformed?.code == .badRequest)
        #expect(throws: Never.self) { try self.pairs(Array(repeating: "ins=1", count: 1024)) }
        let error = #expect(throws: PayloadError.self) { try self.pairs(Array(repeating: "ins=1", count: 1025)) }
        #expect(error?.code == .requestEntityTooLarge)
    }
}
