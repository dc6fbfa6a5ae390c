import CoAP
import Testing

struct OptionNumberTests {
    @Test(
        "RFC 7252 §5.4.6: the bits of a number say critical, unsafe to forward, no cache key",
        arguments: [
            (.ifMatch, true, false, false), (.uriHost, true, true, false), (.eTag, false, false, false),
            (.observe, false, true, false), (.uriPath, true, true, false), (.contentFormat, false, false, false),
            (.maxAge, false, true, false), (.accept, true, false, false), (.block1, true, true, false),
            (.size2, false, false, true), (.size1, false, false, true), (.proxyUri, true, true, false),
            (.noResponse, false, true, false), (.ocfContentFormatVersion, true, false, false),
            (.ocfAcceptContentFormatVersion, true, false, false), (.fence, true, true, false),
            (.deadline, false, true, false), (.requestID, false, false, false),
        ] as [(OptionNumber, Bool, Bool, Bool)])
    func bits(number: OptionNumber, critical: Bool, unsafe: Bool, noCacheKey: Bool) {
        #expect(number.isCritical == critical)
        #expect(number.isUnsafeToForward == unsafe)
        #expect((!number.isUnsafeToForward && number.isNoCacheKey) == noCacheKey)
    }

    @Test(
        "RFC 7252 §5.10: each option has its registered format, length and repetition",
        arguments: [
            (1, .opaque, 0...8, true), (3, .string, 1...255, false), (4, .opaque, 1...8, true),
            (5, .empty, 0...0, false), (6, .uint, 0...3, false), (7, .uint, 0...2, false), (8, .string, 0...255, true),
            (9, .opaque, 0...255, false), (11, .string, 0...255, true), (12, .uint, 0...2, false),
            (14, .uint, 0...4, false), (15, .string, 0...255, true), (16, .uint, 1...1, false),
            (17, .uint, 0...2, false), (19, .uint, 0...3, false), (20, .string, 0...255, true),
            (21, .empty, 0...0, false), (23, .uint, 0...3, false), (27, .uint, 0...3, false), (28, .uint, 0...4, false),
            (31, .uint, 0...3, true), (35, .string, 1...1034, false), (39, .string, 1...255, false),
            (60, .uint, 0...4, false), (252, .opaque, 1...40, false), (258, .uint, 0...1, false),
            (292, .opaque, 0...8, true), (2049, .uint, 2...2, false), (2053, .uint, 2...2, false),
        ] as [(UInt16, OptionFormat, ClosedRange<Int>, Bool)])
    func definition(number: UInt16, format: OptionFormat, length: ClosedRange<Int>, isRepeatable: Bool) throws {
        let definition = try #require(OptionDefinition.of(OptionNumber(rawValue: number)))
        #expect(definition.number.rawValue == number)
        #expect(definition.format == format)
        #expect(definition.length == length)
        #expect(definition.isRepeatable == isRepeatable)
    }

    @Test("RFC 7252 §12.2: there are no other definitions")
    func unknown() {
        #expect(OptionDefinition.all.count == 29)
        for number in [0, 2, 10, 13, 62, 63, 64, 65, 251, 2050, 65000, 65001, 65535] as [UInt16] {
            #expect(OptionDefinition.of(OptionNumber(rawValue: number)) == nil)
        }
    }

    @Test("A number prints with the name of its option")
    func description() {
        #expect(OptionNumber.uriPath.description == "Uri-Path (11)")
        #expect(OptionNumber(rawValue: 65001).description == "65001")
    }

    @Test("RFC 7252 §12.2: the internal options lie in the range for experiments")
    func internalRange() {
        #expect(!OptionNumber(rawValue: 65279).isInternal)
        #expect(OptionNumber(rawValue: 65280).isInternal)
        #expect(OptionNumber(rawValue: 65535).isInternal)
    }
}
