import CBOR
import CoAP
import Glibc
import NIOCore
import NIOPosix
import OCF
import Synchronization

/// Something that happened to a device, for whoever checks a run afterwards.
struct FleetEvent: Sendable {
    enum Kind: String, Sendable {
        case connected
        case signedIn = "signed-in"
        /// An answer of the cloud that is none of the good ones.
        case refused
        case released
        case closed
        /// A request has reached the device.
        case delivered
        /// Its answer was given to the connection.
        case answered
        /// Its connection was gone before it could be.
        case unanswered
        case gaveUp = "gave-up"
    }

    var kind: Kind
    var di: String
    /// Which connection of the device, the first of which is 1.
    var connection: Int
    /// What it was about, and how it went.
    var detail: String?
    var request: String?
    var code: Code?
    var queryMark: String?
    var bodyMark: DataItem?
    let monotonicNanoseconds = FleetEvent.time(CLOCK_MONOTONIC)
    let wallNanoseconds = FleetEvent.time(CLOCK_REALTIME)

    init(_ kind: Kind, di: String, connection: Int, detail: String? = nil) {
        self.kind = kind
        self.di = di
        self.connection = connection
        self.detail = detail
    }

    private static func time(_ clock: clockid_t) -> Int64 {
        var time = timespec()
        clock_gettime(clock, &time)
        return Int64(time.tv_sec) * 1_000_000_000 + Int64(time.tv_nsec)
    }

    /// One line of JSON.
    var line: String {
        var pairs: [DataItem.Pair] = [
            .init("mono_ns", DataItem(integer: self.monotonicNanoseconds)),
            .init("wall_ns", DataItem(integer: self.wallNanoseconds)),
            .init("event", .text(self.kind.rawValue)), .init("di", .text(self.di)),
            .init("connection", DataItem(integer: Int64(self.connection))),
        ]
        if let request = self.request { pairs.append(.init("request", .text(request))) }
        if let mark = self.queryMark { pairs.append(.init("query_n", .text(mark))) }
        if let mark = self.bodyMark { pairs.append(.init("body_n", mark)) }
        if let code = self.code { pairs.append(.init("code", .text("\(code)"))) }
        if let detail = self.detail { pairs.append(.init("detail", .text(detail))) }
        return String(buffer: JSONCoding.encode(.map(pairs)))
    }
}

/// Writes events to a file, as one JSON object a line, on a thread of its own. What comes faster than the disk takes it
/// is dropped, and the file says how many.
package final class FleetHistory: Sendable {
    private struct State {
        var waiting: [FleetEvent] = []
        var lost = 0
        var lostInAll = 0
        var isWriting = false
        var failure: String?
    }

    private let maximumWaiting: Int
    private let path: String
    private let file: CInt
    private let state = Mutex(State())
    private let thread = NIOThreadPool(numberOfThreads: 1)

    /// Replaces the file.
    /// - Parameter maximumWaiting: how many events may wait for the disk.
    package init(path: String, maximumWaiting: Int = 100_000) throws(FleetError) {
        self.path = path
        self.maximumWaiting = maximumWaiting
        self.file = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0o644)
        guard self.file >= 0 else {
            throw FleetError("The history cannot be written to \(path): \(systemMessage(errno)). Name another file.")
        }
        self.thread.start()
    }

    deinit {
        Glibc.close(self.file)
    }

    func note(_ event: FleetEvent) {
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
            var text = ""
            for event in events { text += event.line + "\n" }
            if lost > 0 { text += "{\"event\":\"lost\",\"count\":\(lost)}\n" }
            self.write(text)
        }
    }

    private func write(_ text: String) {
        var bytes = Array(text.utf8)[...]
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

/// Why a run cannot begin, and what to do.
package struct FleetError: Error, Sendable, Hashable, CustomStringConvertible {
    package let description: String

    package init(_ description: String) {
        self.description = description
    }
}
