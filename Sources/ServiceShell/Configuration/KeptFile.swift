import FoundationEssentials
import Glibc

/// A small value that a program makes once and keeps in its data directory, such as a key or an identity.
package enum KeptFile {
    /// Why a kept value cannot be had.
    package struct Failure: Error, Equatable, CustomStringConvertible {
        package let path: String
        package let reason: String
        /// What to do next.
        package let hint: String

        package init(
            path: String, reason: String,
            hint: String = "check the directory's owner and permissions, or set DATA_DIR"
        ) {
            self.path = path
            self.reason = reason
            self.hint = hint
        }

        package var description: String {
            "\(self.path) cannot be used: \(self.reason); \(self.hint)"
        }
    }

    /// The largest kept value, in bytes.
    private static let limit = 4096

    /// The value kept under `name`, or the one `make` gives, which is then kept, readable by its owner only.
    ///
    /// Two programs that start at the same time end up with the same value: the file is written aside and linked into
    /// place, which succeeds for one of them.
    package static func value(
        named name: String,
        in directory: String,
        make: () -> String,
    ) throws(Failure) -> String {
        let path = "\(directory)/\(name)"
        try Self.createDirectory(directory)
        if let kept = try Self.read(path) { return kept }
        let made = make()
        let aside = "\(path).\(getpid())"
        unlink(aside)
        let descriptor = open(aside, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0o600)
        guard descriptor >= 0 else { throw Failure(path: path, reason: Self.systemReason()) }
        defer { unlink(aside) }
        let bytes = Array("\(made)\n".utf8)
        let written = bytes.withUnsafeBytes { Glibc.write(descriptor, $0.baseAddress, $0.count) }
        let synced = fsync(descriptor)
        close(descriptor)
        guard written == bytes.count, synced == 0 else { throw Failure(path: path, reason: Self.systemReason()) }
        if link(aside, path) == 0 { return made }
        if errno == EEXIST, let kept = try Self.read(path) { return kept }
        throw Failure(path: path, reason: Self.systemReason())
    }

    /// Makes the directory, for its owner only, unless it is there.
    package static func createDirectory(_ directory: String) throws(Failure) {
        do {
            try FileManager.default.createDirectory(
                atPath: directory,
                withIntermediateDirectories: true,
                attributes: [.posixPermissions: 0o700],
            )
        } catch {
            // What the library found by itself is not in errno.
            var isDirectory = false
            let exists = FileManager.default.fileExists(atPath: directory, isDirectory: &isDirectory)
            throw Failure(
                path: directory, reason: exists && !isDirectory ? "it is not a directory" : Self.systemReason())
        }
    }

    /// Writes a whole file or nothing, replacing what is there.
    package static func replace(_ path: String, with text: String) throws(Failure) {
        do {
            try Data(text.utf8).write(to: URL(fileURLWithPath: path), options: .atomic)
        } catch {
            throw Failure(path: path, reason: Self.systemReason())
        }
    }

    private static func read(_ path: String) throws(Failure) -> String? {
        let descriptor = open(path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else {
            if errno == ENOENT { return nil }
            throw Failure(path: path, reason: Self.systemReason())
        }
        defer { close(descriptor) }
        var bytes = [UInt8](repeating: 0, count: Self.limit)
        let count = bytes.withUnsafeMutableBytes { Glibc.read(descriptor, $0.baseAddress, $0.count) }
        guard count > 0, count < Self.limit, let text = String(validating: bytes[..<count], as: UTF8.self) else {
            throw Failure(path: path, reason: "it is empty or not what was kept there")
        }
        return text.hasSuffix("\n") ? String(text.dropLast()) : text
    }

    private static func systemReason() -> String { String(cString: strerror(errno)) }
}
