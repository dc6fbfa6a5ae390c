import CoAP

/// Who waits for the Pong to which Ping of ours (RFC 8323 §5.4). Whoever takes a completion out calls it, once.
struct AwaitedPongs {
    typealias Completion = @Sendable (Bool) -> Void

    /// More at a time make no sense: they all ask the same peer the same.
    static let maximum = 16

    private var waiting: [Token: Completion] = [:]

    /// False if as many wait as may.
    mutating func add(_ token: Token, _ completion: @escaping Completion) -> Bool {
        guard self.waiting.count < Self.maximum else { return false }
        self.waiting[token] = completion
        return true
    }

    mutating func take(_ token: Token) -> Completion? {
        self.waiting.removeValue(forKey: token)
    }

    mutating func takeAll() -> [Completion] {
        let all = Array(self.waiting.values)
        self.waiting = [:]
        return all
    }
}
