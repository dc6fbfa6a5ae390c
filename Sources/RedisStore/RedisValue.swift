/// What Redis answers (RESP2).
package enum RedisValue: Hashable, Sendable {
    case null
    case integer(Int64)
    case status(String)
    case bytes([UInt8])
    case error(String)
    indirect case array([RedisValue])

    /// Text of UTF-8, from whatever can hold it.
    package var text: String? {
        switch self {
        case .status(let text): text
        case .bytes(let bytes): String(validating: bytes, as: UTF8.self)
        case .integer(let number): String(number)
        case .null, .error, .array: nil
        }
    }

    package var elements: [RedisValue]? {
        guard case .array(let elements) = self else { return nil }
        return elements
    }

    /// A replica refused to write. Before Redis 7, what scripts run into stands within the text.
    var isReadOnly: Bool {
        guard case .error(let text) = self else { return false }
        return text.hasPrefix("READONLY") || text.contains("-READONLY")
    }

    /// The first word of an error, such as `NOSCRIPT`.
    var errorCode: Substring? {
        guard case .error(let text) = self else { return nil }
        return text.prefix { $0 != " " }
    }
}
