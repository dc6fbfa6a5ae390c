/// What is wrong with an id. One rule for users and devices, because both are written into paths and topics.
package enum IdentifierError: Error, Hashable, Sendable {
    case empty
    case tooLong(bytes: Int)
    /// A control or format character: also the ones that turn the direction of text around.
    case controlCharacter(UInt32)
    case blank
    /// One of `/ ? # + $ %`.
    case forbiddenCharacter(Character)
    /// `.` or `..`.
    case dots
    /// The first segment of a path of ours: `ReservedSegments`.
    case reserved(String)
}

extension IdentifierError: CustomStringConvertible {
    package var description: String {
        switch self {
        case .empty:
            "is empty: 1 to \(Identifier.maximumBytes) bytes are allowed"
        case .tooLong(let bytes):
            "has \(bytes) bytes: at most \(Identifier.maximumBytes) are allowed"
        case .controlCharacter(let scalar):
            "has the control character U+\(String(scalar, radix: 16, uppercase: true)): remove it"
        case .blank:
            "has a blank: remove it"
        case .forbiddenCharacter(let character):
            "has '\(character)': none of / ? # + $ % is allowed"
        case .dots:
            "is '.' or '..', which paths take for something else: choose another"
        case .reserved(let word):
            "is '\(word)', the name of a resource of the cloud: choose another"
        }
    }
}

/// The text of an id that keeps the one id rule: 1–128 bytes of UTF-8, no control characters, none of `/ ? # + $ %` nor
/// blank, not `.` or `..`, not a reserved first segment of a path.
///
/// Nothing must *be* a UUID, but whatever has the form of one is lower-cased, so that UUIDs are compared without case.
/// Everything else is compared byte by byte, as stores do it.
package struct Identifier: Hashable, Comparable, Sendable {
    package static let maximumBytes = 128

    package let text: String

    package init(_ text: String) throws(IdentifierError) {
        guard !text.isEmpty else { throw .empty }
        let count = text.utf8.count
        guard count <= Self.maximumBytes else { throw .tooLong(bytes: count) }
        for scalar in text.unicodeScalars {
            switch scalar {
            case "/", "?", "#", "+", "$", "%": throw .forbiddenCharacter(Character(scalar))
            // The rest of what ASCII shows: nearly all there is, and no table has to be asked for it.
            case "!"..."~": continue
            default: break
            }
            switch scalar.properties.generalCategory {
            case .control, .format, .lineSeparator, .paragraphSeparator, .surrogate:
                throw .controlCharacter(scalar.value)
            default:
                if scalar.properties.isWhitespace { throw .blank }
            }
        }
        guard text != ".", text != ".." else { throw .dots }
        guard !ReservedSegments.all.contains(text) else { throw .reserved(text) }
        self.text = Self.isUUID(text) ? text.lowercased() : text
    }

    /// An id as it came from our own store: not checked again, so that a rule made stricter locks nobody out.
    package init(stored text: String) {
        self.text = text
    }

    package static func == (one: Self, other: Self) -> Bool {
        one.text.utf8.elementsEqual(other.text.utf8)
    }

    package static func < (one: Self, other: Self) -> Bool {
        one.text.utf8.lexicographicallyPrecedes(other.text.utf8)
    }

    package func hash(into hasher: inout Hasher) {
        var copy = self.text
        copy.withUTF8 { hasher.combine(bytes: UnsafeRawBufferPointer($0)) }
    }

    /// Eight, four, four, four and twelve hexadecimal digits (RFC 9562 §4).
    private static func isUUID(_ text: String) -> Bool {
        guard text.utf8.count == 36 else { return false }
        let bytes = Array(text.utf8)
        for (index, byte) in bytes.enumerated() {
            if [8, 13, 18, 23].contains(index) {
                guard byte == UInt8(ascii: "-") else { return false }
            } else {
                guard byte.isHexadecimalDigit else { return false }
            }
        }
        return true
    }
}

extension UInt8 {
    fileprivate var isHexadecimalDigit: Bool {
        switch self {
        case UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "a")...UInt8(ascii: "f"),
            UInt8(ascii: "A")...UInt8(ascii: "F"):
            true
        default:
            false
        }
    }
}
