import FoundationEssentials

/// A file that tells which ports were taken, for whoever started the program with port 0.
package enum PortsFile {
    /// Writes the file in one step, so that a reader sees all of it or none.
    ///
    /// - Parameter ports: Name to port: `{"http": 8080, "coap": 5683, "admin": 9090}`.
    package static func write(_ ports: [String: Int], to path: String) throws(KeptFile.Failure) {
        let fields = ports.sorted { $0.key < $1.key }.map { "\"\($0.key)\": \($0.value)" }
        try KeptFile.replace(path, with: "{\(fields.joined(separator: ", "))}\n")
    }

    /// What was written; nothing when there is no such file.
    package static func read(_ path: String) -> [String: Int] {
        guard let data = try? Data(contentsOf: URL(fileURLWithPath: path)) else { return [:] }
        return (try? JSONDecoder().decode([String: Int].self, from: data)) ?? [:]
    }
}
