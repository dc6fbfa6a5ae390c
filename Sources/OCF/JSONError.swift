/// Bytes that are not one acceptable JSON text.
package struct JSONError: Error, Hashable, Sendable {
    package enum Code: Hashable, Sendable {
        /// Nothing but white space.
        case empty
        /// The text ends inside a value.
        case truncated
        /// A byte that cannot stand here: comments, single quotes, trailing commas, `NaN`.
        case unexpected(UInt8)
        /// Something behind the value.
        case trailingBytes
        /// A byte order mark.
        case byteOrderMark
        /// A number that breaks the grammar.
        case malformedNumber
        /// A number no 64-bit integer or finite double holds.
        case numberOutOfRange
        /// A control character that is not escaped.
        case controlCharacter
        /// A backslash before something that cannot be escaped.
        case malformedEscape
        /// Half of a surrogate pair, which is no character.
        case loneSurrogate
        case invalidUTF8
        /// The same name twice in one object.
        case duplicateName
        case nameTooLong(maximum: Int)
        case tooDeep(maximum: Int)
        case tooManyItems(maximum: Int)
        case tooLarge(bytes: Int, maximum: Int)
    }

    package let code: Code
    /// Where in the input, counted in bytes from 0.
    package let offset: Int

    package init(_ code: Code, at offset: Int) {
        self.code = code
        self.offset = offset
    }
}

extension JSONError: CustomStringConvertible {
    package var description: String {
        "JSON at byte \(self.offset): \(self.code)"
    }
}

extension JSONError.Code: CustomStringConvertible {
    package var description: String {
        switch self {
        case .empty: "there is no value (RFC 8259 §2)"
        case .truncated: "the text ends inside a value (RFC 8259 §2)"
        case .unexpected(let byte):
            (0x21...0x7E).contains(byte)
                ? "'\(Character(UnicodeScalar(byte)))' cannot stand here (RFC 8259 §2)"
                : "byte \(byte) cannot stand here (RFC 8259 §2)"
        case .trailingBytes: "something follows the value (RFC 8259 §2)"
        case .byteOrderMark: "a byte order mark (RFC 8259 §8.1)"
        case .malformedNumber: "a malformed number (RFC 8259 §6)"
        case .numberOutOfRange: "a number out of range (RFC 8259 §6)"
        case .controlCharacter: "a control character that is not escaped (RFC 8259 §7)"
        case .malformedEscape: "a malformed escape (RFC 8259 §7)"
        case .loneSurrogate: "half of a surrogate pair (RFC 8259 §8.2)"
        case .invalidUTF8: "text that is not UTF-8 (RFC 8259 §8.1)"
        case .duplicateName: "the same name twice in one object (RFC 8259 §4)"
        case .nameTooLong(let maximum): "a name of more than \(maximum) bytes (RFC 8259 §9)"
        case .tooDeep(let maximum): "nested deeper than \(maximum) levels (RFC 8259 §9)"
        case .tooManyItems(let maximum): "more than \(maximum) values and names (RFC 8259 §9)"
        case .tooLarge(let bytes, let maximum): "\(bytes) bytes, at most \(maximum) are taken (RFC 8259 §9)"
        }
    }
}
