import Glibc
import NIOPosix
import Synchronization

/// Writes events to a file, as one JSON object a line, on a thread of its own. What comes faster than the disk takes it
/// is dropped, and the file says how many.
package final class EventFile<Event: Sendable>: Sendable {
    private struct State {
        var waiting: [Event] = []
        var lost = 0
        var lostInAll = 0
        var isWriting = false
        var failure: String?
    }

    private let maximumWaiting: Int
    private let path: String
    private let file: CInt
    private let encode: @Sendable (Event, inout [UInt8]) -> Void
    private let state = Mutex(State())
    private let thread = NIOThreadPool(numberOfThreads: 1)

    /// Replaces the file.
    /// - Parameters:
    ///   - maximumWaiting: how many events may wait for the disk.
    ///   - encode: adds an event as one JSON object without a line end; runs on the thread of the file.
    package init(
        path: String, maximumWaiting: Int = 100_000, encode: @escaping @Sendable (Event, inout [UInt8]) -> Void
    ) throws(FleetError) {
        self.path = path
        self.maximumWaiting = maximumWaiting
        self.encode = encode
        self.file = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0o644)
        guard self.file >= 0 else {
            throw FleetError("The history cannot be written to \(path): \(systemMessage(errno)). Name another file.")
        }
        self.thread.start()
    }

    deinit {
        Glibc.close(self.file)
    }

    package func note(_ event: Event) {
        let begins = self.state.withLock { state in
            guard state.waiting.count < self.maximumWaiting else {
                state.lost += 1
                state.lostInAll += 1
                return false
            }
            state.waiting.append(event)
            defer { state.isWriting = true }
            return !state.isWriting
        }
        // A pool that was shut down takes nothing more, and nothing happens then.
        if begins { self.thread.submit { _ in self.drain() } }
    }

    /// Writes what waits.
    /// - Returns: what people have to know of the file.
    package func finish() async -> String? {
        try? await self.thread.runIfActive { self.drain() }
        try? await self.thread.shutdownGracefully()
        return self.state.withLock { state in
            if let failure = state.failure { return "The history is not whole: \(self.path): \(failure)." }
            return state.lostInAll > 0
                ? "The history is not whole: \(state.lostInAll) events came faster than \(self.path) takes them." : nil
        }
    }

    private func drain() {
        while true {
            let (events, lost) = self.state.withLock { state in
                let taken = (state.waiting, state.lost)
                state.waiting = []
                state.lost = 0
                if taken.0.isEmpty { state.isWriting = false }
                return taken
            }
            guard !events.isEmpty || lost > 0 else { return }
            var bytes: [UInt8] = []
            for event in events {
                self.encode(event, &bytes)
                bytes.append(UInt8(ascii: "\n"))
            }
            if lost > 0 { bytes.append(contentsOf: "{\"event\":\"lost\",\"count\":\(lost)}\n".utf8) }
            self.write(bytes[...])
        }
    }

    private func write(_ bytes: ArraySlice<UInt8>) {
        var bytes = bytes
        while !bytes.isEmpty {
            let count = bytes.withUnsafeBytes { Glibc.write(self.file, $0.baseAddress, $0.count) }
            if count > 0 {
                bytes = bytes.dropFirst(count)
            } else if errno != EINTR {
                let failure = systemMessage(errno)
                return self.state.withLock { $0.failure = failure }
            }
        }
    }
}
