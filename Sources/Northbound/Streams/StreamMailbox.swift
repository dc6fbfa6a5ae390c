import CoAP
import Synchronization

/// What the writer of a stream is woken by.
enum StreamSignal: Hashable, Sendable {
    /// The observed resource has changed.
    case notified(CoAP.Response)
    /// The observation's last word.
    case ended(CoAP.Response)
    /// The owner's log may have grown.
    case news
    case heartbeat
    case over(StreamEnd)
}

/// Why a stream is over, whatever it is about.
enum StreamEnd: Hashable, Sendable {
    /// No first answer came in time.
    case late
    /// The token that opened it is good no more.
    case unauthorized
    /// The program stops: the client shall connect again, to another one.
    case quiescing
    /// Nobody reads it any more.
    case disconnected
}

/// Between those who have something for a stream, on any thread, and its one writer.
///
/// It holds at most one of each: of two notifications that were not written yet only the newer counts (RFC 7641 §1.3),
/// so a slow reader costs no memory.
final class StreamMailbox: Sendable {
    private struct State {
        var newest: CoAP.Response?
        var end: CoAP.Response?
        var hasNews = false
        var isHeartbeatDue = false
        var over: StreamEnd?
        var reader: CheckedContinuation<StreamSignal, Never>?
        /// Since when the writer has been busy with what it got, or with what comes before.
        var busySince: ContinuousClock.Instant? = .now

        mutating func take() -> StreamSignal? {
            if let over { return .over(over) }
            // Before what there is to tell, which may never end: with a heartbeat the token is looked at.
            if self.isHeartbeatDue {
                self.isHeartbeatDue = false
                return .heartbeat
            }
            if let newest {
                self.newest = nil
                return .notified(newest)
            }
            if let end {
                self.end = nil
                return .ended(end)
            }
            guard self.hasNews else { return nil }
            self.hasNews = false
            return .news
        }
    }

    private let state = Mutex(State())

    private func change(_ body: (inout State) -> Void) {
        let (reader, signal) = self.state.withLock { state in
            body(&state)
            guard let reader = state.reader, let signal = state.take() else {
                return (CheckedContinuation<StreamSignal, Never>?.none, StreamSignal.heartbeat)
            }
            state.reader = nil
            state.busySince = .now
            return (reader, signal)
        }
        reader?.resume(returning: signal)
    }

    func put(_ event: ObservationEvent) {
        self.change { state in
            // After its end nothing more comes; if something does, it is nobody's.
            guard state.end == nil else { return }
            switch event {
            case .notified(let response): state.newest = response
            case .ended(let response): state.end = response
            }
        }
    }

    func putNews() {
        self.change { $0.hasNews = true }
    }

    func finish(_ end: StreamEnd) {
        self.change { $0.over = $0.over ?? end }
    }

    /// Time for a heartbeat.
    /// - Returns: how long the writer has been busy, nil if it waits.
    func beat() -> Duration? {
        self.change { $0.isHeartbeatDue = true }
        return self.state.withLock { $0.busySince.map { .now - $0 } }
    }

    /// Waits for the next signal. Only the one writer calls it.
    func next() async -> StreamSignal {
        await withTaskCancellationHandler {
            await withCheckedContinuation { continuation in
                let signal = self.state.withLock { state in
                    let signal = state.take()
                    state.busySince = signal == nil ? nil : .now
                    state.reader = signal == nil ? continuation : nil
                    return signal
                }
                if let signal { continuation.resume(returning: signal) }
            }
        } onCancel: {
            self.finish(.quiescing)
        }
    }
}
