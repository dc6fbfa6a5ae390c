import Crypto
import FoundationEssentials

/// What changes when a file's content does; nil if it cannot be read. Not size and time: those of a file written twice
/// within a tick of the kernel's clock can be the same.
struct FileStamp: Hashable, Sendable {
    /// The most that is read, in bytes: more than any file that is taken.
    private static let limit = 64 << 20

    private let digest: [UInt8]?

    init(path: String) {
        self.digest = (try? CertificateFiles.read(path, limit: Self.limit)).map { Array(SHA256.hash(data: $0)) }
    }
}

extension CertificateFiles {
    /// Whether there is something of that name, a broken link included.
    static func exists(_ path: String) -> Bool {
        FileManager.default.fileExists(atPath: path)
            || (try? FileManager.default.destinationOfSymbolicLink(atPath: path)) != nil
    }

    static func isFolder(_ path: String) -> Bool {
        var isFolder = false
        return FileManager.default.fileExists(atPath: path, isDirectory: &isFolder) && isFolder
    }
}
