import Cloud
import HTTPTypes

/// The token in Authorization: `Bearer T`, the scheme in any case (RFC 6750 §2.1), or a bare `T`, as the older
/// gateway's clients send it.
enum Bearer {
    /// - Returns: nil without the header field, and for what cannot be a token of ours.
    /// - Throws: `badHeader` when the field stands there twice: which one counts would be anybody's guess.
    static func token(_ fields: HTTPFields) throws(Problem) -> Secret? {
        let values = fields[values: .authorization]
        guard values.count <= 1 else { throw .header("Authorization", "stands there more than once") }
        guard let words = values.first?.split(whereSeparator: { $0 == " " || $0 == "\t" }) else { return nil }
        switch words.count {
        case 1: return Secret(String(words[0]))
        case 2 where words[0].lowercased() == "bearer": return Secret(String(words[1]))
        default: return nil
        }
    }
}
