import Glibc
import Synchronization

/// Where finished log lines go.
package protocol LogSink: Sendable {
    /// Takes one line, which ends with a newline. Never fails: a lost log line must not stop a request.
    func write(_ line: String)
}

/// Standard output. Each line is one `write`, so lines of several threads and processes do not mix.
///
/// It never waits for whoever reads the lines: while a pipe is full they are kept, up to a bound, and a thread of their
/// own waits in the place of the event loops. Past the bound, on a full disk or a closed pipe, lines are lost.
package final class StandardOutputSink: LogSink {
    /// How many bytes are kept for a reader who is behind.
    static let capacity = 4 << 20

    private struct State {
        /// What waits for the reader, in order, while `isDraining`.
        var kept: [UInt8] = []
        /// A thread writes what is kept; lines queue up behind it.
        var isDraining = false
    }

    /// The process'.
    package static let standard = StandardOutputSink(descriptor: STDOUT_FILENO)

    private let descriptor: Int32
    /// A file never lacks room: there is nothing to ask before each line.
    private let isFile: Bool
    private let pieces: Int
    private let capacity: Int
    private let state = Mutex(State())

    init(descriptor: Int32, capacity: Int = StandardOutputSink.capacity) {
        self.descriptor = descriptor
        self.capacity = capacity
        var status = stat()
        // A file takes what there is. A pipe or terminal that says it has room has it for this much, at least.
        let isFile = fstat(descriptor, &status) == 0 && status.st_mode & S_IFMT == S_IFREG
        self.isFile = isFile
        self.pieces = isFile ? .max : Int(PIPE_BUF)
    }

    package func write(_ line: String) {
        var line = line
        let needsThread = line.withUTF8 { bytes in
            self.state.withLock { state in
                guard !state.isDraining else {
                    if state.kept.count + bytes.count <= self.capacity { state.kept += bytes }
                    return false
                }
                let rest = self.writeWhileThereIsRoom(UnsafeRawBufferPointer(bytes), patience: 0)
                guard !rest.isEmpty else { return false }
                state.kept = Array(rest)
                state.isDraining = true
                return true
            }
        }
        if needsThread { self.startThread() }
    }

    /// - Parameter patience: how long to wait for room, in milliseconds; -1: for ever.
    /// - Returns: what there was no room for. What cannot be written at all is lost: it is not in here.
    private func writeWhileThereIsRoom(
        _ bytes: UnsafeRawBufferPointer, patience: Int32
    ) -> UnsafeRawBufferPointer.SubSequence {
        var rest = bytes[...]
        while !rest.isEmpty {
            if !self.isFile {
                var wish = pollfd(fd: self.descriptor, events: Int16(POLLOUT), revents: 0)
                let ready = poll(&wish, 1, patience)
                if ready < 0 && errno == EINTR { continue }
                guard ready > 0 else { return rest }
            }
            let piece = UnsafeRawBufferPointer(rebasing: rest.prefix(self.pieces))
            let count = Glibc.write(self.descriptor, piece.baseAddress, piece.count)
            if count < 0 && errno == EINTR { continue }
            if count < 0 && errno == EAGAIN {
                if patience == 0 { return rest }
                continue
            }
            // A full disk or a closed pipe: the line is lost, the program goes on.
            guard count > 0 else { return rest.suffix(0) }
            rest = rest.dropFirst(count)
        }
        return rest
    }

    // MARK: For a reader who is behind

    private func startThread() {
        var thread = pthread_t()
        let context = Unmanaged.passRetained(self)
        let result = pthread_create(
            &thread, nil,
            { context in
                if let context { Unmanaged<StandardOutputSink>.fromOpaque(context).takeRetainedValue().drain() }
                return nil
            }, context.toOpaque())
        guard result != 0 else {
            pthread_detach(thread)
            return
        }
        context.release()
        // No thread is to be had: these lines are lost, and the next one tries again.
        self.state.withLock { $0 = State() }
    }

    /// Writes what is kept until nothing is left. As long as that takes, this thread waits.
    private func drain() {
        while true {
            let bytes = self.state.withLock { state -> [UInt8] in
                defer { state.kept = [] }
                if state.kept.isEmpty { state.isDraining = false }
                return state.kept
            }
            guard !bytes.isEmpty else { return }
            bytes.withUnsafeBytes { _ = self.writeWhileThereIsRoom($0, patience: -1) }
        }
    }

    /// Waits until what was kept is written, as the last thing a program does.
    ///
    /// - Parameter seconds: at most this long; then the rest is lost.
    package func flush(within seconds: Int) {
        for _ in 0..<(seconds * 100) {
            guard self.state.withLock({ $0.isDraining }) else { return }
            usleep(10_000)
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
