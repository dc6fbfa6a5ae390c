/// The number of an option, whose bits say how to treat it when it is not known (RFC 7252 §5.4.6).
package struct OptionNumber: RawRepresentable, Hashable, Comparable, Sendable {
    package let rawValue: UInt16

    package init(rawValue: UInt16) {
        self.rawValue = rawValue
    }

    package static func < (left: OptionNumber, right: OptionNumber) -> Bool {
        left.rawValue < right.rawValue
    }

    /// Whoever does not know it must refuse the message.
    package var isCritical: Bool { self.rawValue & 1 == 1 }
    /// A proxy that does not know it must not forward the message.
    package var isUnsafeToForward: Bool { self.rawValue & 2 == 2 }
    /// Not part of a cache's key.
    package var isNoCacheKey: Bool { self.rawValue & 0x1E == 0x1C }
}

extension OptionNumber {
    package static let ifMatch = OptionNumber(rawValue: 1)
    package static let uriHost = OptionNumber(rawValue: 3)
    package static let eTag = OptionNumber(rawValue: 4)
    package static let ifNoneMatch = OptionNumber(rawValue: 5)
    package static let observe = OptionNumber(rawValue: 6)
    package static let uriPort = OptionNumber(rawValue: 7)
    package static let locationPath = OptionNumber(rawValue: 8)
    package static let oscore = OptionNumber(rawValue: 9)
    package static let uriPath = OptionNumber(rawValue: 11)
    package static let contentFormat = OptionNumber(rawValue: 12)
    package static let maxAge = OptionNumber(rawValue: 14)
    package static let uriQuery = OptionNumber(rawValue: 15)
    package static let hopLimit = OptionNumber(rawValue: 16)
    package static let accept = OptionNumber(rawValue: 17)
    package static let qBlock1 = OptionNumber(rawValue: 19)
    package static let locationQuery = OptionNumber(rawValue: 20)
    package static let edhoc = OptionNumber(rawValue: 21)
    package static let block2 = OptionNumber(rawValue: 23)
    package static let block1 = OptionNumber(rawValue: 27)
    package static let size2 = OptionNumber(rawValue: 28)
    package static let qBlock2 = OptionNumber(rawValue: 31)
    package static let proxyUri = OptionNumber(rawValue: 35)
    package static let proxyScheme = OptionNumber(rawValue: 39)
    package static let size1 = OptionNumber(rawValue: 60)
    package static let echo = OptionNumber(rawValue: 252)
    package static let noResponse = OptionNumber(rawValue: 258)
    package static let requestTag = OptionNumber(rawValue: 292)
    package static let ocfAcceptContentFormatVersion = OptionNumber(rawValue: 2049)
    package static let ocfContentFormatVersion = OptionNumber(rawValue: 2053)
}

/// How the value of an option is written (RFC 7252 §3.2).
package enum OptionFormat: Sendable, Hashable {
    case empty
    case opaque
    case uint
    case string
}

/// What a registry says about one option (RFC 7252 §5.10 and the documents named in `OptionDefinition.all`).
package struct OptionDefinition: Sendable {
    package let number: OptionNumber
    package let name: String
    package let format: OptionFormat
    /// Lengths of the value in bytes that count as well-formed.
    package let length: ClosedRange<Int>
    package let isRepeatable: Bool

    init(
        _ number: OptionNumber, _ name: String, _ format: OptionFormat, _ length: ClosedRange<Int>,
        repeatable: Bool = false
    ) {
        self.number = number
        self.name = name
        self.format = format
        self.length = length
        self.isRepeatable = repeatable
    }

    /// The definition for `number`, nil if the option is unrecognised.
    package static func of(_ number: OptionNumber) -> OptionDefinition? {
        if number.rawValue < 64 {
            return Self.low[Int(number.rawValue)]
        }
        return Self.high[number]
    }

    package static let all: [OptionDefinition] = [
        .init(.ifMatch, "If-Match", .opaque, 0...8, repeatable: true),
        .init(.uriHost, "Uri-Host", .string, 1...255),
        .init(.eTag, "ETag", .opaque, 1...8, repeatable: true),
        .init(.ifNoneMatch, "If-None-Match", .empty, 0...0),
        .init(.observe, "Observe", .uint, 0...3),  // RFC 7641 §2
        .init(.uriPort, "Uri-Port", .uint, 0...2),
        .init(.locationPath, "Location-Path", .string, 0...255, repeatable: true),
        .init(.oscore, "OSCORE", .opaque, 0...255),  // RFC 8613 §2
        .init(.uriPath, "Uri-Path", .string, 0...255, repeatable: true),
        .init(.contentFormat, "Content-Format", .uint, 0...2),
        .init(.maxAge, "Max-Age", .uint, 0...4),
        .init(.uriQuery, "Uri-Query", .string, 0...255, repeatable: true),
        .init(.hopLimit, "Hop-Limit", .uint, 1...1),  // RFC 8768 §3
        .init(.accept, "Accept", .uint, 0...2),
        .init(.qBlock1, "Q-Block1", .uint, 0...3),  // RFC 9177 §4.1
        .init(.locationQuery, "Location-Query", .string, 0...255, repeatable: true),
        .init(.edhoc, "EDHOC", .empty, 0...0),  // RFC 9668 §3.1
        .init(.block2, "Block2", .uint, 0...3),  // RFC 7959 §2.1
        .init(.block1, "Block1", .uint, 0...3),
        .init(.size2, "Size2", .uint, 0...4),  // RFC 7959 §4
        .init(.qBlock2, "Q-Block2", .uint, 0...3, repeatable: true),
        .init(.proxyUri, "Proxy-Uri", .string, 1...1034),
        .init(.proxyScheme, "Proxy-Scheme", .string, 1...255),
        .init(.size1, "Size1", .uint, 0...4),
        .init(.echo, "Echo", .opaque, 1...40),  // RFC 9175 §2.2
        .init(.noResponse, "No-Response", .uint, 0...1),  // RFC 7967 §2
        .init(.requestTag, "Request-Tag", .opaque, 0...8, repeatable: true),  // RFC 9175 §3.2
        .init(.ocfAcceptContentFormatVersion, "OCF-Accept-Content-Format-Version", .uint, 2...2),
        .init(.ocfContentFormatVersion, "OCF-Content-Format-Version", .uint, 2...2),
    ]

    private static let low: [OptionDefinition?] = {
        var table = [OptionDefinition?](repeating: nil, count: 64)
        for definition in Self.all where definition.number.rawValue < 64 {
            table[Int(definition.number.rawValue)] = definition
        }
        return table
    }()

    private static let high: [OptionNumber: OptionDefinition] = Dictionary(
        uniqueKeysWithValues: Self.all.filter { $0.number.rawValue >= 64 }.map { ($0.number, $0) })
}

extension OptionNumber: CustomStringConvertible {
    /// `Uri-Path (11)`, or the bare number.
    package var description: String {
        OptionDefinition.of(self).map { "\($0.name) (\(self.rawValue))" } ?? "\(self.rawValue)"
    }
}
