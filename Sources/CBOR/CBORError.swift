/// Bytes that are not one acceptable CBOR data item.
package struct CBORError: Error, Hashable, Sendable {
    package enum Code: Hashable, Sendable {
        /// Nothing at all to decode.
        case empty
        /// The input ends inside an item.
        case truncated
        /// A declared length or count exceeds what is left of the input.
        case lengthPastEnd(declared: UInt64, remaining: Int)
        /// Bytes behind the item.
        case trailingBytes(count: Int)
        /// Additional information 28…30, or 31 where no indefinite length exists.
        case reservedAdditionalInformation(UInt8)
        /// A two-byte simple value below 32.
        case reservedSimpleValue(UInt8)
        /// A text string that is not valid UTF-8.
        case invalidUTF8
        /// A chunk of an indefinite-length string that is no definite-length string of the same kind.
        case wrongChunk
        /// The input ends in an indefinite-length item.
        case missingBreak
        /// A break where none may stand.
        case unexpectedBreak
        /// A break between a key and its value.
        case keyWithoutValue
        /// The same key twice in one map.
        case duplicateKey
        /// More levels than `DecodingLimits.depth`.
        case tooDeep(maximum: Int)
        /// More items than `DecodingLimits.items`.
        case tooManyItems(maximum: Int)
        /// More bytes than `DecodingLimits.bytes`.
        case tooLarge(bytes: Int, maximum: Int)
    }

    package let code: Code
    /// Where in the input the item stands that is at fault, counted from 0.
    package let offset: Int

    package init(_ code: Code, at offset: Int) {
        self.code = code
        self.offset = offset
    }
}

extension CBORError: CustomStringConvertible {
    package var description: String {
        "CBOR at byte \(self.offset): \(self.code)"
    }
}

extension CBORError.Code: CustomStringConvertible {
    package var description: String {
        switch self {
        case .empty:
            "there is no data item (RFC 8949 §5.3.1)"
        case .truncated:
            "the input ends inside a data item (RFC 8949 §3)"
        case .lengthPastEnd(let declared, let remaining):
            "a length of \(declared) with \(remaining) bytes left (RFC 8949 §3)"
        case .trailingBytes(let count):
            "\(count) bytes behind the data item (RFC 8949 §5.3.1)"
        case .reservedAdditionalInformation(let value):
            "additional information \(value) is not allowed here (RFC 8949 §3)"
        case .reservedSimpleValue(let value):
            "simple value \(value) in two bytes (RFC 8949 §3.3)"
        case .invalidUTF8:
            "a text string that is not UTF-8 (RFC 8949 §3.1)"
        case .wrongChunk:
            "a chunk that is no definite-length string of the same type (RFC 8949 §3.2.3)"
        case .missingBreak:
            "an indefinite-length item without a break (RFC 8949 §3.2.1)"
        case .unexpectedBreak:
            "a break outside an indefinite-length item (RFC 8949 §3.2.1)"
        case .keyWithoutValue:
            "a map whose last key has no value (RFC 8949 §3.2.2)"
        case .duplicateKey:
            "the same key twice in one map (RFC 8949 §5.6)"
        case .tooDeep(let maximum):
            "nested deeper than \(maximum) levels (RFC 8949 §10)"
        case .tooManyItems(let maximum):
            "more than \(maximum) data items (RFC 8949 §10)"
        case .tooLarge(let bytes, let maximum):
            "\(bytes) bytes, at most \(maximum) are taken (RFC 8949 §10)"
        }
    }
}
