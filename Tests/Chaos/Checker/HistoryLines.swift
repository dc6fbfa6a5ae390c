import FoundationEssentials
import Glibc

/// The lines of a file of any length, one after the other; never holds more of it than a piece and a line.
package struct HistoryLines {
    /// What is longer is no line of ours.
    package static let maximumLine = 1 << 20
    private static let piece = 1 << 18

    package let path: String
    /// How many lines were handed out.
    package private(set) var count = 0

    package init(_ path: String) {
        self.path = path
    }

    /// The part of a path that people know a file by.
    package var name: String { String(self.path.split(separator: "/").last ?? "") }

    /// Hands out each line, without its end.
    ///
    /// - Parameter body: Takes a line, valid for the call only, and whether it is whole: the last one is not if its
    ///   writer was stopped in the middle of it.
    package mutating func forEach(_ body: (_ line: UnsafeRawBufferPointer, _ isWhole: Bool) throws -> Void) throws {
        let file = open(self.path, O_RDONLY | O_CLOEXEC)
        guard file >= 0 else { throw UnreadableHistory("\(self.name): \(String(cString: strerror(errno))).") }
        defer { close(file) }
        var bytes = [UInt8](repeating: 0, count: Self.maximumLine + Self.piece)
        var filled = 0
        while true {
            let start = filled
            let got = bytes.withUnsafeMutableBytes { read(file, $0.baseAddress.map { $0 + start }, Self.piece) }
            if got < 0, errno == EINTR { continue }
            guard got >= 0 else { throw UnreadableHistory("\(self.name): \(String(cString: strerror(errno))).") }
            filled += got
            let end = filled
            let used = try bytes.withUnsafeBytes { try self.split($0[..<end], searchedTo: start, body) }
            bytes.withUnsafeMutableBytes { all in
                guard used > 0, let base = all.baseAddress else { return }
                memmove(base, base + used, end - used)
            }
            filled -= used
            guard filled <= Self.maximumLine else {
                throw UnreadableHistory("\(self.name):\(self.count + 1): a line longer than \(Self.maximumLine) bytes.")
            }
            guard got == 0 else { continue }
            if filled > 0 {
                self.count += 1
                let rest = filled
                try bytes.withUnsafeBytes { try body(UnsafeRawBufferPointer(rebasing: $0[..<rest]), false) }
            }
            return
        }
    }

    /// - Returns: how many bytes were whole lines.
    private mutating func split(
        _ bytes: Slice<UnsafeRawBufferPointer>, searchedTo start: Int,
        _ body: (UnsafeRawBufferPointer, Bool) throws -> Void,
    ) throws -> Int {
        guard let base = bytes.base.baseAddress else { return 0 }
        var lineStart = 0
        var searchFrom = start
        while searchFrom < bytes.endIndex,
            let found = memchr(base + searchFrom, 0x0A, bytes.endIndex - searchFrom)
        {
            let end = UnsafeRawPointer(found) - base
            self.count += 1
            if end > lineStart {
                try body(UnsafeRawBufferPointer(start: base + lineStart, count: end - lineStart), true)
            }
            lineStart = end + 1
            searchFrom = lineStart
        }
        return lineStart
    }
}

/// Why a history cannot be read, and what to do.
package struct UnreadableHistory: Error, Hashable, CustomStringConvertible {
    package let description: String

    package init(_ description: String) {
        self.description = description
    }
}

extension UnsafeRawBufferPointer {
    func decoded<Record: Decodable>(_ type: Record.Type, by decoder: JSONDecoder) throws -> Record {
        try decoder.decode(type, from: Data(self))
    }
}
