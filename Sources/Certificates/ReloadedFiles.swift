package import NIOCore
import NIOPosix
import Synchronization

/// What was made from files, made again when they have changed. What cannot be used leaves the old one as it was.
///
/// Files are read on the calling thread, so this is no place for event loops to be; `ReloadSchedule` finds another.
package final class ReloadedFiles<Value: Sendable>: Sendable {
    /// What came of a look.
    package enum Outcome: Sendable {
        case unchanged
        case replaced(old: Value)
        /// Told once for each state of the files.
        case unusable(CertificateError)
    }

    private struct State {
        var value: Value
        var stamps: [FileStamp]
        /// The state of the files that was last found unusable, and why.
        var refused: (stamps: [FileStamp], error: CertificateError)?
    }

    private let paths: @Sendable () -> [String]
    private let load: @Sendable () throws(CertificateError) -> Value
    private let state: Mutex<State>
    /// Held while files are read, so that an older reading never replaces a newer one.
    private let reading = Mutex(())

    /// - Parameters:
    ///   - paths: the files that it depends on, as they are at the moment.
    /// - Throws: what `load` throws.
    package init(
        paths: @escaping @Sendable () -> [String], load: @escaping @Sendable () throws(CertificateError) -> Value
    ) throws(CertificateError) {
        self.paths = paths
        self.load = load
        // Before the reading: whatever is written from here on is found by the next look.
        let stamps = paths().map(FileStamp.init(path:))
        self.state = Mutex(State(value: try load(), stamps: stamps))
    }

    package var value: Value { self.state.withLock { $0.value } }

    /// Reads the files again if they have changed since they were last used.
    package func look() -> Outcome {
        self.reading.withLock { _ in
            let stamps = self.paths().map(FileStamp.init(path:))
            guard self.state.withLock({ $0.stamps }) != stamps else {
                self.state.withLock { $0.refused = nil }
                return .unchanged
            }
            // One that could not be used is tried again: the reason may have been a passing one.
            do throws(CertificateError) {
                let value = try self.load()
                return self.state.withLock { state in
                    let old = state.value
                    state = State(value: value, stamps: stamps)
                    return .replaced(old: old)
                }
            } catch {
                return self.state.withLock { state in
                    if let refused = state.refused, refused.stamps == stamps, refused.error == error {
                        return .unchanged
                    }
                    state.refused = (stamps, error)
                    return .unusable(error)
                }
            }
        }
    }

    /// Replaces what was made by another of the same files.
    func replace(_ body: (Value) throws -> Value) rethrows {
        try self.reading.withLock { _ in
            let value = try body(self.value)
            self.state.withLock { $0.value = value }
        }
    }
}

/// Finds a thread beside the event loops for looking at files, at most once in an interval.
package final class ReloadSchedule: Sendable {
    private struct State {
        var nextLook: NIODeadline
        var isLooking = false
    }

    private let interval: TimeAmount
    private let state: Mutex<State>

    package init(interval: TimeAmount) {
        self.interval = interval
        self.state = Mutex(State(nextLook: .now() + interval))
    }

    /// Has `work` done on another thread if the time has come and it is not being done.
    package func lookIfDue(_ work: @escaping @Sendable () -> Void) {
        let now = NIODeadline.now()
        let isDue = self.state.withLock { state in
            guard !state.isLooking, state.nextLook <= now else { return false }
            state.isLooking = true
            state.nextLook = now + self.interval
            return true
        }
        guard isDue else { return }
        NIOThreadPool.singleton.submit { _ in
            work()
            self.state.withLock { $0.isLooking = false }
        }
    }
}
