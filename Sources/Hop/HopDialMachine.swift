package import NIOCore

/// Whether there is a connection to one target, and when to make one: the rules only.
package struct HopDialMachine {
    private enum State: Hashable {
        case closed
        case opening
        case open
        case failed(until: NIODeadline)
    }

    package enum RequestAction: Hashable, Sendable {
        /// Open a connection; the request waits for it.
        case dial
        /// A connection is being opened: wait for it.
        case wait
        case send
        /// It failed just now: another attempt so soon makes no sense.
        case refuse
    }

    private let firstBackOff: TimeAmount
    private let longestBackOff: TimeAmount
    private var state = State.closed
    /// Failures in a row.
    package private(set) var failures = 0

    package init(firstBackOff: TimeAmount, longestBackOff: TimeAmount) {
        self.firstBackOff = firstBackOff
        self.longestBackOff = longestBackOff
    }

    package mutating func request(now: NIODeadline) -> RequestAction {
        switch self.state {
        case .closed:
            self.state = .opening
            return .dial
        case .opening:
            return .wait
        case .open:
            return .send
        case .failed(let until):
            guard until <= now else { return .refuse }
            self.state = .opening
            return .dial
        }
    }

    /// The connection was proven.
    package mutating func opened() {
        self.state = .open
        self.failures = 0
    }

    /// It could not be connected, or not proven.
    /// - Parameter jitter: 0.5…1, so that not all who failed together come back together.
    package mutating func failed(jitter: Double, now: NIODeadline) {
        let doubled = self.firstBackOff.scaled(by: Double(1 << min(self.failures, 16)))
        self.failures += 1
        self.state = .failed(until: now + min(doubled, self.longestBackOff).scaled(by: jitter))
    }

    /// The open connection ended, or takes no more requests: the next request opens another.
    package mutating func ended() {
        if self.state == .open { self.state = .closed }
    }

    /// Nothing has to be remembered of this target.
    package func isForgettable(now: NIODeadline) -> Bool {
        switch self.state {
        case .closed: true
        case .opening, .open: false
        case .failed(let until): until + self.longestBackOff + self.longestBackOff <= now
        }
    }
}
