import HTTPTypes

/// What of Prefer (RFC 7240) is heeded: `wait=N`, how long the client would wait for the answer.
enum Preferences {
    private static let field = fieldName("Prefer")
    /// The bounds of `wait` in seconds; more is cut, less and what cannot be read is passed over (RFC 7240 §2).
    private static let bounds = 1...60

    static func wait(_ fields: HTTPFields) -> Duration? {
        for preference in fields[values: Self.field].flatMap({ $0.split(separator: ",") }) {
            let word = preference.prefix { $0 != ";" }.trimmedBlanks
            let pair = word.split(separator: "=", maxSplits: 1)
            guard pair.count == 2, pair[0].trimmedBlanks.lowercased() == "wait" else { continue }
            guard let seconds = Int(pair[1].trimmedBlanks), seconds >= Self.bounds.lowerBound else { return nil }
            return .seconds(min(seconds, Self.bounds.upperBound))
        }
        return nil
    }
}
