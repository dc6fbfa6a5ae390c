import Glibc
import NIOPosix
import Synchronization

/// Lines from a file descriptor. Reading blocks a thread of its own, so that neither an event loop nor Swift's threads
/// wait for a person; a pipe wakes it when nobody wants the line any more.
package final class StandardInput: LineSource {
    private let descriptor: CInt
    private let wakeReader: CInt
    private let wakeWriter: CInt
    private let threads = NIOThreadPool(numberOfThreads: 1)
    private let buffer = Mutex(LineBuffer())

    /// - Parameter descriptor: stays open, and stays the caller's.
    package init(descriptor: CInt = STDIN_FILENO) throws {
        var ends: [CInt] = [-1, -1]
        guard pipe(&ends) == 0 else { throw InputError(errno: errno) }
        self.descriptor = descriptor
        self.wakeReader = ends[0]
        self.wakeWriter = ends[1]
        self.threads.start()
    }

    deinit {
        close(self.wakeReader)
        close(self.wakeWriter)
    }

    package func next() async -> String? {
        guard !Task.isCancelled else { return nil }
        return await withTaskCancellationHandler {
            // The pool fails only once it is shut down, and then there is no more input.
            (try? await self.threads.runIfActive { self.readLine() }) ?? nil
        } onCancel: {
            self.wake()
        }
    }

    /// Ends the thread. `next` must not be called again.
    package func shutdown() async {
        self.wake()
        // Fails only if it was shut down before.
        try? await self.threads.shutdownGracefully()
    }

    private func wake() {
        var byte: UInt8 = 0
        _ = write(self.wakeWriter, &byte, 1)
    }

    private func readLine() -> String? {
        while true {
            if let line = self.buffer.withLock({ $0.next() }) {
                return line
            }
            guard self.isReadable(), let bytes = self.readBytes() else {
                return nil
            }
            self.buffer.withLock { buffer in
                if bytes.isEmpty {
                    buffer.finish()
                } else {
                    buffer.append(bytes)
                }
            }
            if bytes.isEmpty {
                return self.buffer.withLock { $0.next() }
            }
        }
    }

    /// Waits for input; false when woken.
    private func isReadable() -> Bool {
        var waits = [
            pollfd(fd: self.descriptor, events: Int16(POLLIN), revents: 0),
            pollfd(fd: self.wakeReader, events: Int16(POLLIN), revents: 0),
        ]
        while poll(&waits, nfds_t(waits.count), -1) < 0 {
            guard errno == EINTR else { return false }
        }
        return waits[1].revents == 0
    }

    /// Empty at the end of the input, nil if it cannot be read.
    private func readBytes() -> [UInt8]? {
        var bytes = [UInt8](repeating: 0, count: 4096)
        while true {
            let count = read(self.descriptor, &bytes, bytes.count)
            if count >= 0 {
                return Array(bytes.prefix(count))
            }
            switch errno {
            case EINTR: continue
            // Another program made the terminal non-blocking: ask again when something is there.
            case EAGAIN: guard self.isReadable() else { return nil }
            default: return nil
            }
        }
    }
}

/// The input cannot be read.
struct InputError: Error, CustomStringConvertible {
    let errno: CInt

    var description: String {
        "Cannot read commands: \(systemMessage(self.errno)). Start again with fewer open files, or with other input."
    }
}

/// What the operating system says about an error number.
package func systemMessage(_ number: CInt) -> String {
    strerror(number).map { String(cString: $0) } ?? "error \(number)"
}

/// Writes text to standard output; what cannot be written is lost, for there is no other place to say so.
package func writeToStandardOutput(_ text: String) {
    var bytes = ArraySlice(Array(text.utf8))
    while !bytes.isEmpty {
        let count = bytes.withUnsafeBytes { write(STDOUT_FILENO, $0.baseAddress, $0.count) }
        if count > 0 {
            bytes = bytes.dropFirst(count)
        } else if errno == EAGAIN {
            var wait = pollfd(fd: STDOUT_FILENO, events: Int16(POLLOUT), revents: 0)
            _ = poll(&wait, 1, 1000)
        } else if errno != EINTR {
            return
        }
    }
}

/// True if a person sits at both ends.
package var isTerminal: Bool {
    isatty(STDIN_FILENO) == 1 && isatty(STDOUT_FILENO) == 1
}
