/// The path and query of an HTTP request, taken apart.
///
/// The raw path is split at `/` first and each segment percent-decoded then, so that `%2F` stays inside its segment
/// (RFC 3986 §2.2, RFC 8075 §5.3); nothing is collapsed or resolved. The query is split at `&`, and `+` stays `+`.
package struct HTTPTarget: Hashable, Sendable {
    /// How long a segment or query parameter may be in bytes: the limit of Uri-Path and Uri-Query (RFC 7252 §5.10).
    package static let maximumPartBytes = 255
    /// How many segments, and how many query parameters, are taken. Unspecified: real hrefs have fewer than ten.
    package static let maximumParts = 64

    /// The decoded segments of the path; `/` has none, a trailing slash makes an empty last one.
    package var segments: [String]
    /// The decoded query parameters as they stand between `&`.
    package var queries: [String]

    package init(segments: [String], queries: [String] = []) {
        self.segments = segments
        self.queries = queries
    }

    /// Reads the origin form of a request target (RFC 9112 §3.2.1).
    ///
    /// - Throws: `badTarget` for what is not percent-encoded UTF-8, has control characters or dot segments;
    ///   `targetTooLong` for what does not fit CoAP options.
    package init(_ raw: String) throws(Problem) {
        guard raw.utf8.first == UInt8(ascii: "/") else {
            throw Problem(.badTarget, "The request target does not begin with a slash.", field: "path")
        }
        guard !raw.utf8.contains(UInt8(ascii: "#")) else {
            throw Problem(.badTarget, "The request target has a fragment.", field: "path")
        }
        let halves = raw.utf8.split(separator: UInt8(ascii: "?"), maxSplits: 1, omittingEmptySubsequences: false)
        let path = halves[0].dropFirst()
        self.segments =
            path.isEmpty ? [] : try Self.parts(path, separator: UInt8(ascii: "/"), field: "path")
        self.queries =
            halves.count < 2 || halves[1].isEmpty
            ? [] : try Self.parts(halves[1], separator: UInt8(ascii: "&"), field: "query")
        // RFC 7252 §5.10.1: Uri-Path must not be a dot segment.
        if self.segments.contains(where: { $0 == "." || $0 == ".." }) {
            throw Problem(.badTarget, "A path segment is `.` or `..`.", field: "path")
        }
    }

    private static func parts(
        _ raw: Substring.UTF8View, separator: UInt8, field: String
    ) throws(Problem) -> [String] {
        let pieces = raw.split(
            separator: separator, maxSplits: Self.maximumParts, omittingEmptySubsequences: false)
        guard pieces.count <= Self.maximumParts else {
            throw Problem(.targetTooLong, "The \(field) has more than \(Self.maximumParts) parts.", field: field)
        }
        var result: [String] = []
        result.reserveCapacity(pieces.count)
        for piece in pieces {
            result.append(try Self.decode(piece, field: field))
        }
        return result
    }

    private static func decode(_ raw: Substring.UTF8View, field: String) throws(Problem) -> String {
        var bytes: [UInt8] = []
        bytes.reserveCapacity(raw.count)
        var rest = raw
        while let byte = rest.popFirst() {
            guard byte == UInt8(ascii: "%") else {
                bytes.append(byte)
                continue
            }
            guard let high = rest.popFirst().flatMap(Self.hexDigit), let low = rest.popFirst().flatMap(Self.hexDigit)
            else { throw Problem(.badTarget, "A `%` in the \(field) is not followed by two digits.", field: field) }
            bytes.append(high << 4 | low)
        }
        guard bytes.count <= Self.maximumPartBytes else {
            throw Problem(
                .targetTooLong, "A part of the \(field) has \(bytes.count) bytes; at most 255 fit.", field: field)
        }
        guard !bytes.contains(where: { $0 < 0x20 || $0 == 0x7F }) else {
            throw Problem(.badTarget, "The \(field) has a control character.", field: field)
        }
        guard let text = String(validating: bytes, as: UTF8.self) else {
            throw Problem(.badTarget, "The \(field) is not UTF-8 once it is percent-decoded.", field: field)
        }
        return text
    }

    private static func hexDigit(_ byte: UInt8) -> UInt8? {
        switch byte {
        case UInt8(ascii: "0")...UInt8(ascii: "9"): byte - UInt8(ascii: "0")
        case UInt8(ascii: "a")...UInt8(ascii: "f"): byte - UInt8(ascii: "a") + 10
        case UInt8(ascii: "A")...UInt8(ascii: "F"): byte - UInt8(ascii: "A") + 10
        default: nil
        }
    }
}

extension HTTPTarget {
    /// The values of the query parameter `name`, in their order.
    package func values(_ name: String) -> [String] {
        self.queries.compactMap { query in
            let parts = query.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
            return parts[0] == name && parts.count == 2 ? String(parts[1]) : nil
        }
    }

    /// `text` as it stands in a path or query: everything but unreserved characters encoded (RFC 3986 §2.3).
    package static func encode(_ text: String, keeping: String = "") -> String {
        let kept = Set(keeping.utf8)
        var result = ""
        for byte in text.utf8 {
            switch byte {
            case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
                UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "-"), UInt8(ascii: "."), UInt8(ascii: "_"),
                UInt8(ascii: "~"):
                result.unicodeScalars.append(Unicode.Scalar(byte))
            default:
                if kept.contains(byte) {
                    result.unicodeScalars.append(Unicode.Scalar(byte))
                } else {
                    let digits = String(byte, radix: 16, uppercase: true)
                    result += digits.count == 1 ? "%0\(digits)" : "%\(digits)"
                }
            }
        }
        return result
    }
}
