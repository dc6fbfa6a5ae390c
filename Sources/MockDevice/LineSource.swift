/// Where commands come from.
package protocol LineSource: Sendable {
    /// The next line without its end; nil at the end of the input, and at once when the task is cancelled.
    func next() async -> String?
}

/// Cuts bytes into lines.
struct LineBuffer: Sendable {
    private var bytes: [UInt8] = []
    private var lines: [String] = []

    /// The longest line kept, in bytes: one more than a command may have, so that what is too long is noticed.
    static let maximumBytes = Command.maximumBytes + 1

    mutating func append(_ more: some Sequence<UInt8>) {
        for byte in more {
            if byte == UInt8(ascii: "\n") {
                self.endLine()
            } else if self.bytes.count < Self.maximumBytes {
                self.bytes.append(byte)
            }
        }
    }

    /// What stands behind the last line end is a line too.
    mutating func finish() {
        if !self.bytes.isEmpty {
            self.endLine()
        }
    }

    mutating func next() -> String? {
        self.lines.isEmpty ? nil : self.lines.removeFirst()
    }

    private mutating func endLine() {
        if self.bytes.last == UInt8(ascii: "\r") {
            self.bytes.removeLast()
        }
        self.lines.append(String(decoding: self.bytes, as: UTF8.self))
        self.bytes = []
    }
}
