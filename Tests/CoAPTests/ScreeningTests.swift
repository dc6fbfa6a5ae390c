import CoAP
import NIOCore
import Testing

/// What every resource would have to check about the options of a request (RFC 7252 §5.4).
struct ScreeningTests {
    typealias Raw = [(UInt16, [UInt8])]

    static func request(_ options: Raw) -> Message {
        .get(adding: options.map { (OptionNumber(rawValue: $0), $1) })
    }

    static func handed(_ options: Raw, _ configuration: ConnectionConfiguration = .quiet) throws -> Options {
        try Conversation(configuration).handled(Self.request(options)).request.options
    }

    static func refused(_ options: Raw, _ configuration: ConnectionConfiguration = .quiet) throws -> Message {
        try Conversation(configuration).replied(to: Self.request(options))
    }

    static let long = [UInt8](repeating: 0x61, count: 256)

    @Test(
        "BI-20, C-77: a critical option that is unknown is answered 4.02, by its number",
        arguments: [65001, 2051, 63, 65279] as [UInt16])
    func unknownCritical(number: UInt16) throws {
        let reply = try Self.refused([(number, [1])])
        #expect(reply.code == .badOption)
        #expect(reply.token == Token([1]))
        #expect(reply.diagnostic.contains("\(number)"))
    }

    @Test("BI-20, C-77: elective options that are unknown stay, for whoever forwards the request")
    func unknownElective() throws {
        let options = try Self.handed([(65000, [1]), (65000, [2]), (2, Self.long)])
        #expect(options.map(\.number.rawValue) == [2, 65000, 65000])
    }

    @Test(
        "RFC 7252 §5.4.3: a critical option of a bad length is answered 4.02",
        arguments: [
            (1, 9), (3, 0), (3, 256), (5, 1), (7, 3), (11, 256), (15, 256), (17, 3), (35, 0), (35, 1035), (39, 0),
            (39, 256), (2049, 0), (2049, 1), (2049, 3), (2053, 0), (2053, 1), (2053, 3),
        ] as [(UInt16, Int)])
    func badCritical(number: UInt16, length: Int) throws {
        #expect(try Self.refused([(number, [UInt8](repeating: 0x61, count: length))]).code == .badOption)
    }

    @Test("C-78, BI-19: a Uri-Path of 256 bytes and a Uri-Query of 64 KiB are answered 4.02")
    func longPath() throws {
        #expect(try Self.refused([(11, Self.long)]).code == .badOption)
        #expect(try Self.refused([(15, [UInt8](repeating: 0x61, count: 65536))]).code == .badOption)
        #expect(try Self.handed([(11, Self.long.dropLast()), (15, Self.long.dropLast())]).count == 2)
    }

    @Test("BI-19: a request of 256 Uri-Path segments is handed on as it is")
    func manySegments() throws {
        let options = try Self.handed((0..<256).map { _ in (11, [0x61]) })
        #expect(options.path?.count == 256)
    }

    @Test(
        "RFC 7252 §5.4.3: an elective option of a bad length is taken out",
        arguments: [
            (4, 0), (4, 9), (6, 4), (8, 256), (12, 3), (14, 5), (16, 0), (16, 2), (20, 256), (28, 5), (60, 5), (252, 0),
            (252, 41), (258, 2), (292, 9),
        ] as [(UInt16, Int)])
    func badElective(number: UInt16, length: Int) throws {
        let options = try Self.handed([(number, [UInt8](repeating: 1, count: length)), (17, [60])])
        #expect(options.map(\.number) == [.accept])
    }

    @Test(
        "BI-20: a critical option that may stand once and stands twice is answered 4.02",
        arguments: [
            (3, [0x61]), (5, []), (7, [1]), (17, [60]), (2049, [8, 0]), (2053, [8, 0]),
        ] as [(UInt16, [UInt8])])
    func repeatedCritical(number: UInt16, value: [UInt8]) throws {
        #expect(try Self.handed([(number, value)]).count == 1)
        #expect(try Self.refused([(number, value), (number, value)]).code == .badOption)
    }

    @Test(
        "BI-20: of an elective option that may stand once the first counts",
        arguments: [12, 14, 16, 28, 60, 252, 258] as [UInt16])
    func repeatedElective(number: UInt16) throws {
        let options = try Self.handed([(number, [1]), (number, [2]), (number, [3])])
        #expect(options.map(\.bytes) == [[1]])
    }

    @Test("RFC 7252 §5.4.5: a second one does not take the place of a first that is badly long")
    func repeatedBehindBad() throws {
        #expect(try Self.handed([(12, [0, 0, 60]), (12, [60])]).isEmpty)
    }

    @Test("RFC 7252 §5.4.5: what may be repeated is", arguments: [1, 4, 8, 11, 15, 20, 292] as [UInt16])
    func repeatable(number: UInt16) throws {
        #expect(try Self.handed([(number, [0x61]), (number, [0x62]), (number, [0x61])]).count == 3)
    }

    @Test(
        "BI-11: Q-Block1 and Q-Block2 are answered 4.02: they are for transports that lose messages (RFC 9177 §3)",
        arguments: [19, 31] as [UInt16])
    func quickBlock(number: UInt16) throws {
        #expect(try Self.refused([(number, [0x0E])]).code == .badOption)
    }

    @Test("RFC 7959 §2.1: a block option passes, and one of four bytes or a second one is 4.02", arguments: [23, 27])
    func block(number: UInt16) throws {
        #expect(try Self.handed([(number, [0x0E])]).count == 1)
        #expect(try Self.refused([(number, [0, 0, 0, 0x0E])]).code == .badOption)
        #expect(try Self.refused([(number, [0x0E]), (number, [0x1E])]).code == .badOption)
    }

    @Test(
        "RFC 8613 §2: what is protected end to end is not for us: 4.02",
        arguments: [(9, [1]), (21, [])] as [(UInt16, [UInt8])])
    func protected(number: UInt16, value: [UInt8]) throws {
        #expect(try Self.refused([(number, value)]).code == .badOption)
    }

    @Test(
        "Internal options from outside are answered 4.02, critical or not, known or not; inside they pass",
        arguments: [65280, 65281, 65282, 65283, 65284, 65287, 65289, 65535] as [UInt16])
    func internalOptions(number: UInt16) throws {
        #expect(try Self.refused([(number, [1])]).code == .badOption)
        #expect(try Self.handed([(number, [1])], .internal).map(\.number.rawValue) == [number])
    }

    @Test("Inside, everything that is not internal is screened as outside")
    func screenedInside() throws {
        #expect(try Self.refused([(65001, [])], .internal).code == .badOption)
        #expect(try Self.refused([(11, [0x2E, 0x2E])], .internal).code == .badRequest)
    }

    @Test("C-78: Proxy-Uri and Proxy-Scheme are answered 5.05", arguments: [35, 39] as [UInt16])
    func proxy(number: UInt16) throws {
        #expect(try Self.refused([(number, Array("http://169.254.169.254/".utf8))]).code == .proxyingNotSupported)
    }

    @Test("C-78: a path segment of one or two dots is answered 4.00, wherever it stands", arguments: [".", ".."])
    func dots(segment: String) throws {
        for path in [[segment], [segment, "a"], ["a", segment], ["a", segment, "b"]] {
            let reply = try Self.refused(path.map { (11, Array($0.utf8)) })
            #expect(reply.code == .badRequest)
        }
    }

    @Test(
        "RFC 7252 §6.4: what only looks like dots is a name like any other",
        arguments: ["...", "..a", "%2e%2e", "", ". "])
    func notDots(segment: String) throws {
        #expect(try Self.handed([(11, Array(segment.utf8))]).path == [segment])
    }

    @Test(
        "RFC 7252 §3.2: path or query that is not UTF-8 is answered 4.00",
        arguments: [11, 15] as [UInt16], ["ff", "c080", "c02e", "eda080", "61c3"])
    func notText(number: UInt16, digits: String) throws {
        #expect(try Self.refused([(number, bytes(digits))]).code == .badRequest)
    }

    @Test("RFC 7252 §5.10.1: whatever host and port a request names, it is ours")
    func host() throws {
        #expect(try Self.handed([(3, Array("elsewhere".utf8)), (7, [1, 187])]).count == 2)
    }
}
