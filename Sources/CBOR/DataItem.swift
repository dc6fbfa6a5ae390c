/// One CBOR data item in the generic data model (RFC 8949 §2).
///
/// It keeps what a peer sent as far as the model goes: the order of map entries, tags, undefined next to null, the
/// sign of zero. It does not keep how that was written: lengths, the width of numbers, the payload of a NaN.
///
/// Two items are equal if they are the same value of the model: an integer never equals a float (RFC 8949 §5.6.1),
/// texts are compared byte by byte and not by what they look like, and every NaN equals every other.
package enum DataItem: Sendable {
    /// An unsigned integer (major type 0).
    case unsigned(UInt64)
    /// The negative integer -1 - n (major type 1).
    case negative(UInt64)
    case bytes([UInt8])
    case text(String)
    case array([DataItem])
    /// In the order received or given. Keys may be of any kind; a decoded map has each only once.
    case map([Pair])
    /// A tag and what it stands before. Nothing is interpreted, bignums included.
    indirect case tagged(UInt64, DataItem)
    case boolean(Bool)
    case null
    case undefined
    /// A simple value other than false, true, null and undefined: 0…19 or 32…255 (RFC 8949 §3.3).
    case simple(UInt8)
    case float(Double)

    /// One entry of a map.
    package struct Pair: Hashable, Sendable {
        package var key: DataItem
        package var value: DataItem

        package init(_ key: DataItem, _ value: DataItem) {
            self.key = key
            self.value = value
        }
    }
}

extension DataItem {
    /// A signed integer as its major type.
    package init(integer: Int64) {
        // -1 - n = integer, so n is the complement's bits.
        self = integer < 0 ? .negative(UInt64(bitPattern: ~integer)) : .unsigned(UInt64(integer))
    }

    /// A map with text keys, in this order.
    package static func map(_ entries: KeyValuePairs<String, DataItem>) -> DataItem {
        .map(entries.map { Pair(.text($0.key), $0.value) })
    }

    /// The value, if this is an integer that fits.
    package var integer: Int64? {
        switch self {
        case .unsigned(let value): Int64(exactly: value)
        case .negative(let value): Int64(exactly: value).map { -1 - $0 }
        case .bytes, .text, .array, .map, .tagged, .boolean, .null, .undefined, .simple, .float: nil
        }
    }

    /// The value, if this is a text string.
    package var string: String? {
        if case .text(let value) = self { value } else { nil }
    }

    /// The value, if this is a byte string.
    package var data: [UInt8]? {
        if case .bytes(let value) = self { value } else { nil }
    }

    /// The value, if this is false or true.
    package var flag: Bool? {
        if case .boolean(let value) = self { value } else { nil }
    }

    /// The elements, if this is an array.
    package var elements: [DataItem]? {
        if case .array(let value) = self { value } else { nil }
    }

    /// The entries, if this is a map.
    package var pairs: [Pair]? {
        if case .map(let value) = self { value } else { nil }
    }

    /// The value under a text key, nil if this is no map or the key is absent.
    package subscript(_ key: String) -> DataItem? {
        guard case .map(let pairs) = self else { return nil }
        let wanted = DataItem.text(key)
        return pairs.first { $0.key == wanted }?.value
    }

    /// What kind of item this is, for messages to people: "a map".
    package var kind: String {
        switch self {
        case .unsigned, .negative: "an integer"
        case .bytes: "a byte string"
        case .text: "a text"
        case .array: "an array"
        case .map: "a map"
        case .tagged: "a tagged item"
        case .boolean: "a boolean"
        case .null: "null"
        case .undefined: "undefined"
        case .simple: "a simple value"
        case .float: "a float"
        }
    }
}

extension DataItem: CustomStringConvertible {
    /// The kind and size only: payloads carry tokens, and descriptions end in logs.
    package var description: String {
        switch self {
        case .array(let elements): "an array of \(elements.count)"
        case .map(let pairs): "a map of \(pairs.count)"
        case .text(let text): "a text of \(text.utf8.count) bytes"
        case .bytes(let bytes): "a byte string of \(bytes.count) bytes"
        case .unsigned, .negative, .tagged, .boolean, .null, .undefined, .simple, .float: self.kind
        }
    }
}

extension DataItem: CustomDebugStringConvertible {
    package var debugDescription: String { self.description }
}

extension DataItem: CustomReflectable {
    package var customMirror: Mirror { Mirror(self, children: []) }
}
