import Glibc
import Testing

/// Files and directories for one test.
enum Temporary {
    /// A new file with that content; the caller unlinks it.
    static func file(_ content: String) throws -> String {
        let path = try Self.path("/tmp/settings-XXXXXX") { template in
            let descriptor = mkstemp(template)
            if descriptor >= 0 { close(descriptor) }
            return descriptor >= 0
        }
        let descriptor = open(path, O_WRONLY)
        defer { close(descriptor) }
        let bytes = Array(content.utf8)
        try #require(write(descriptor, bytes, bytes.count) == bytes.count)
        return path
    }

    /// A new directory; the body empties it and removes it.
    static func withDirectory(_ body: (String) throws -> Void) throws {
        try body(Self.path("/tmp/shell-XXXXXX") { mkdtemp($0) != nil })
    }

    private static func path(
        _ template: String,
        make: (UnsafeMutablePointer<CChar>) -> Bool,
    ) throws -> String {
        let copy = try #require(strdup(template))
        defer { free(copy) }
        try #require(make(copy))
        return String(cString: copy)
    }
}
