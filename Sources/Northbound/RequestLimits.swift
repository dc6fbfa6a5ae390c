import Cloud
import Synchronization

/// What may be done only so often.
final class RequestLimits: Sendable {
    private struct State {
        var registrations: RateLimiter<String>
        var wrongDevices: RateLimiter<UserID>
    }

    private let state: Mutex<State>

    init(registrationBurst: Int, wrongDeviceBurst: Int) {
        self.state = Mutex(
            State(
                registrations: RateLimiter(burst: registrationBurst, interval: .seconds(1)),
                wrongDevices: RateLimiter(burst: wrongDeviceBurst, interval: .seconds(1))))
    }

    /// Takes one registration of an address.
    /// - Throws: `tooManyRequests`.
    func admitRegistration(from address: String?, now: Timestamp) throws(Problem) {
        let wait = self.state.withLock { $0.registrations.admit(address ?? "-", now: now) }
        if let wait {
            throw Problem(
                .tooManyRequests, "Too many users are being registered from your address.",
                retryAfter: wait.wholeSeconds)
        }
    }

    /// What a wrong device id is answered with: the problem itself, or, when its asker guesses too often, one that does
    /// not tell whether the device exists.
    func wrongDevice(_ problem: Problem, asker: UserID, now: Timestamp) -> Problem {
        let wait = self.state.withLock { $0.wrongDevices.admit(asker, now: now) }
        guard let wait else { return problem }
        return Problem(
            .tooManyRequests, "Too many requests for devices that are not yours.", retryAfter: wait.wholeSeconds)
    }
}

extension Duration {
    /// Rounded up, at least 1: what Retry-After takes (RFC 9110 §10.2.3).
    var wholeSeconds: Int {
        let (seconds, attoseconds) = self.components
        return max(1, Int(clamping: seconds) + (attoseconds > 0 ? 1 : 0))
    }
}
