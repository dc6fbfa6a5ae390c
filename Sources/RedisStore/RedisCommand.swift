import CHiredis
import NIOCore

/// A command and its arguments, any bytes each.
package struct RedisCommand: Sendable, Hashable {
    /// All words, one behind the other, so that a command takes two allocations however many it has.
    private var bytes: [UInt8]
    private var lengths: [Int]

    package init(_ words: String...) {
        self.init(words)
    }

    package init(_ words: [String]) {
        self.bytes = []
        self.lengths = []
        self.bytes.reserveCapacity(words.reduce(0) { $0 + $1.utf8.count })
        self.lengths.reserveCapacity(words.count)
        for word in words { self.append(word) }
    }

    package mutating func append(_ word: String) {
        self.bytes.append(contentsOf: word.utf8)
        self.lengths.append(word.utf8.count)
    }

    mutating func append(_ word: [UInt8]) {
        self.bytes.append(contentsOf: word)
        self.lengths.append(word.count)
    }

    package var byteCount: Int { self.bytes.count }

    /// Writes the command as the server reads it; false if there is no memory for it.
    func write(into buffer: inout ByteBuffer) -> Bool {
        self.bytes.withUnsafeBytes { bytes in
            let start = bytes.baseAddress?.assumingMemoryBound(to: CChar.self)
            var words: [UnsafePointer<CChar>?] = []
            words.reserveCapacity(self.lengths.count)
            var offset = 0
            for length in self.lengths {
                words.append(start.map { $0 + offset })
                offset += length
            }
            var formatted: UnsafeMutablePointer<CChar>?
            let count = redisFormatCommandArgv(&formatted, Int32(words.count), &words, self.lengths)
            guard count > 0, let formatted else { return false }
            buffer.writeBytes(UnsafeRawBufferPointer(start: formatted, count: Int(count)))
            redisFreeCommand(formatted)
            return true
        }
    }
}

extension RedisCommand: CustomStringConvertible, CustomReflectable {
    /// The first word only: arguments may be a password.
    package var description: String {
        String(decoding: self.bytes.prefix(self.lengths.first ?? 0), as: UTF8.self)
    }
    package var customMirror: Mirror { Mirror(self, unlabeledChildren: [self.description]) }
}
