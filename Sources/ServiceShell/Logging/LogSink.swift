import Glibc
import Synchronization

/// Where finished log lines go.
package protocol LogSink: Sendable {
    /// Takes one line, which ends with a newline. Never fails: a lost log line must not stop a request.
    func write(_ line: String)
}

/// Standard output. Each line is one `write`, so lines of several threads and processes do not mix.
package final class StandardOutputSink: LogSink {
    /// Held over a line that the kernel takes in pieces.
    private let order = Mutex<Void>(())

    package init() {}

    package func write(_ line: String) {
        var line = line
        line.withUTF8 { bytes in
            self.order.withLock { _ in
                var rest = UnsafeRawBufferPointer(bytes)
                while !rest.isEmpty {
                    let count = Glibc.write(STDOUT_FILENO, rest.baseAddress, rest.count)
                    if count < 0 && errno == EINTR { continue }
                    // A full disk or a closed pipe: the line is lost, the program goes on.
                    guard count > 0 else { return }
                    rest = UnsafeRawBufferPointer(rebasing: rest[count...])
                }
            }
        }
    }
}

/// Keeps the last lines in memory, for tests.
package final class MemorySink: LogSink {
    private let kept = Mutex<[String]>([])
    private let limit: Int

    package init(limit: Int = 10_000) {
        self.limit = limit
    }

    package func write(_ line: String) {
        self.kept.withLock { lines in
            if lines.count == self.limit { lines.removeFirst() }
            lines.append(line)
        }
    }

    /// The lines so far, each with its newline.
    package var lines: [String] { self.kept.withLock { $0 } }
}
