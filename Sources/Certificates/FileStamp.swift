import FoundationEssentials

/// What changes when a file is replaced or written; nothing but nils if it is not there.
struct FileStamp: Hashable, Sendable {
    private let inode: UInt64?
    private let size: UInt64?
    private let written: Date?

    /// A folder of authorities in Kubernetes is made of links: what they lead to is what counts.
    init(path: String) {
        let target = (try? FileManager.default.destinationOfSymbolicLink(atPath: path)).map { target in
            target.hasPrefix("/") ? target : "\(URL(filePath: path).deletingLastPathComponent().path)/\(target)"
        }
        let attributes = try? FileManager.default.attributesOfItem(atPath: target ?? path)
        self.inode = (attributes?[.systemFileNumber] as? any BinaryInteger).map { UInt64(clamping: $0) }
        self.size = (attributes?[.size] as? any BinaryInteger).map { UInt64(clamping: $0) }
        self.written = attributes?[.modificationDate] as? Date
    }
}

extension CertificateFiles {
    /// Whether there is something of that name, a broken link included.
    static func exists(_ path: String) -> Bool {
        (try? FileManager.default.attributesOfItem(atPath: path)) != nil
    }

    static func isFolder(_ path: String) -> Bool {
        var isFolder = false
        return FileManager.default.fileExists(atPath: path, isDirectory: &isFolder) && isFolder
    }
}
