import FoundationEssentials
import Glibc
import SwiftASN1
import X509

/// Reading and writing whole small files, each with a bound and a mode.
enum CertificateFiles {
    /// The most that is read of a certificate, a key or a bundle of authorities, in bytes.
    static let sizeLimit = 1 << 20

    /// - Throws: if it cannot be read, is empty, or is larger than `limit` bytes.
    static func read(_ path: String, limit: Int = Self.sizeLimit) throws(CertificateError) -> [UInt8] {
        // Lest a named pipe keep us waiting for its writer.
        let descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK)
        guard descriptor >= 0 else { throw CertificateError(path: path, reason: Self.systemReason()) }
        defer { close(descriptor) }
        var bytes: [UInt8] = []
        var chunk = [UInt8](repeating: 0, count: 65_536)
        while true {
            let count = Glibc.read(descriptor, &chunk, chunk.count)
            if count == -1, errno == EINTR { continue }
            guard count >= 0 else { throw CertificateError(path: path, reason: Self.systemReason()) }
            if count == 0 { break }
            bytes += chunk[..<count]
            guard bytes.count <= limit else {
                throw CertificateError(path: path, reason: "it is larger than \(limit) bytes")
            }
        }
        guard !bytes.isEmpty else { throw CertificateError(path: path, reason: "it is empty") }
        return bytes
    }

    /// Writes a whole file or nothing, replacing what is there.
    static func write(_ bytes: some Sequence<UInt8>, to path: String, mode: mode_t) throws(CertificateError) {
        let bytes = Array(bytes)
        let aside = "\(path).\(getpid()).new"
        unlink(aside)
        let descriptor = open(aside, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode)
        guard descriptor >= 0 else { throw CertificateError(path: path, reason: Self.systemReason()) }
        var written = 0
        while written < bytes.count {
            let count = bytes[written...].withUnsafeBytes { Glibc.write(descriptor, $0.baseAddress, $0.count) }
            if count == -1, errno == EINTR { continue }
            guard count > 0 else { break }
            written += count
        }
        let isWhole = written == bytes.count && fsync(descriptor) == 0
        let reason = Self.systemReason()
        close(descriptor)
        guard isWhole else {
            unlink(aside)
            throw CertificateError(path: path, reason: reason)
        }
        guard rename(aside, path) == 0 else {
            let reason = Self.systemReason()
            unlink(aside)
            throw CertificateError(path: path, reason: reason)
        }
    }

    /// Makes the folder, for its owner only, unless it is there.
    static func createFolder(_ path: String) throws(CertificateError) {
        do {
            try FileManager.default.createDirectory(
                atPath: path, withIntermediateDirectories: true, attributes: [.posixPermissions: 0o700])
        } catch {
            throw CertificateError(path: path, reason: "the folder cannot be made: \(Self.systemReason())")
        }
    }

    /// The certificates of a PEM file, in its order; at most 1000.
    static func certificates(_ path: String) throws(CertificateError) -> [Certificate] {
        let blocks = try PEMBlock.all(in: try Self.read(path), of: path, label: "CERTIFICATE")
        guard !blocks.isEmpty else {
            throw CertificateError(path: path, reason: "there is no whole PEM certificate in it")
        }
        do {
            return try blocks.map { try Certificate(derEncoded: $0.bytes) }
        } catch {
            throw CertificateError(path: path, reason: "it is no certificate: \(error)")
        }
    }

    static func systemReason() -> String { String(cString: strerror(errno)) }
}

/// One thing in a PEM file; what stands between them is passed over.
struct PEMBlock: Hashable, Sendable {
    /// Of all things in a file.
    static let limit = 1000

    let bytes: [UInt8]

    /// - Parameter path: that of the file, for the error.
    /// - Throws: if one of them is not whole, or there are more than `limit`: a file that is being written must not
    ///   pass for one with less in it.
    static func all(in file: [UInt8], of path: String, label: String) throws(CertificateError) -> [PEMBlock] {
        func broken() -> CertificateError {
            CertificateError(path: path, reason: "there is a \(label) in it that is not whole")
        }
        let begin = "-----BEGIN \(label)-----"
        let end = "-----END \(label)-----"
        var blocks: [PEMBlock] = []
        var text: String?
        for line in file.split(whereSeparator: { $0 == 10 || $0 == 13 }) {
            let line = String(decoding: line, as: UTF8.self)
            if line.hasPrefix(begin) {
                guard text == nil else { throw broken() }
                text = ""
            } else if line.hasPrefix(end) {
                guard let data = text.flatMap({ Data(base64Encoded: $0) }), !data.isEmpty else { throw broken() }
                guard blocks.count < Self.limit else {
                    throw CertificateError(path: path, reason: "there are more than \(Self.limit) of \(label) in it")
                }
                blocks.append(PEMBlock(bytes: Array(data)))
                text = nil
            } else {
                text?.append(contentsOf: line.filter { $0 != " " && $0 != "\t" })
            }
        }
        guard text == nil else { throw broken() }
        return blocks
    }

    static func text(_ bytes: [UInt8], label: String) -> String {
        let encoded = Array(Data(bytes).base64EncodedString().utf8)
        var lines: [String] = []
        var start = 0
        while start < encoded.count {
            lines.append(String(decoding: encoded[start..<min(start + 64, encoded.count)], as: UTF8.self))
            start += 64
        }
        return "-----BEGIN \(label)-----\n\(lines.joined(separator: "\n"))\n-----END \(label)-----\n"
    }
}
