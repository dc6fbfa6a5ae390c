import Cloud
import HTTPTypes

extension EndpointTable {
    /// The table principal × endpoint of docs/http.md.
    package static var markdown: String {
        let kinds = Principal.Kind.allCases
        var lines = [
            "| endpoint | no token | \(kinds.map(\.rawValue).joined(separator: " | ")) | whose |",
            "| --- | \(kinds.map { _ in "---" }.joined(separator: " | ")) | --- | --- |",
        ]
        for endpoint in Self.all {
            let cells =
                [endpoint.principals.isEmpty ? "yes" : "401"]
                + kinds.map { kind in
                    endpoint.principals.isEmpty ? "·" : endpoint.principals.contains(kind) ? "yes" : "403"
                }
            lines.append(
                "| `\(endpoint.method.rawValue) \(endpoint.path.text)` | \(cells.joined(separator: " | ")) "
                    + "| \(endpoint.note) |")
        }
        return lines.joined(separator: "\n") + "\n"
    }
}
