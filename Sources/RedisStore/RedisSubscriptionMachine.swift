package import NIOCore

/// The rules of the connection that listens: the login, a subscription for each channel, a sign of life now and then.
/// Does no input or output.
package struct RedisSubscriptionMachine: ~Copyable {
    package enum ReceiveAction: Equatable {
        case wait
        /// The login is done: send these.
        case ready([RedisCommand])
        /// From now on messages on the channel arrive; those of before may be lost.
        case subscribed(String)
        case message(channel: String, payload: [UInt8])
        case close(String)
    }

    package enum TickAction: Equatable {
        case wait
        case send(RedisCommand)
        case close(String)
    }

    private let limits: RedisLimits
    private let target: String
    private var handshake: RedisHandshake?
    private var channels: [String]
    private let opened: NIODeadline
    private var heard: NIODeadline
    /// When a sign of life was asked for that has not come yet.
    private var asked: NIODeadline?
    private var isClosed = false

    package init(_ configuration: RedisConfiguration, channels: [String], now: NIODeadline) {
        self.limits = configuration.limits
        self.target = configuration.target
        self.handshake = RedisHandshake(configuration, for: .subscriptions)
        self.channels = channels
        self.opened = now
        self.heard = now
    }

    package var opening: [RedisCommand] { self.handshake?.commands ?? [] }

    /// One more channel; the command to send for it now, if any.
    package mutating func subscribe(_ channel: String) -> RedisCommand? {
        guard !self.isClosed, !self.channels.contains(channel) else { return nil }
        self.channels.append(channel)
        return self.handshake == nil ? RedisCommand("SUBSCRIBE", channel) : nil
    }

    package mutating func received(_ value: RedisValue, now: NIODeadline) -> ReceiveAction {
        guard !self.isClosed else { return .wait }
        self.heard = now
        self.asked = nil
        if self.handshake != nil {
            switch self.handshake?.received(value) {
            case .failed(let reason): return self.close(reason)
            case .wait, nil: return .wait
            case .done:
                self.handshake = nil
                return .ready(self.channels.map { RedisCommand("SUBSCRIBE", $0) })
            }
        }
        if value == .status("PONG") { return .wait }
        if case .error(let text) = value {
            return self.close("Redis at \(self.target) refuses a subscription: \(text)")
        }
        let words = value.elements ?? []
        switch (words.first?.text, words.count) {
        case ("message", 3):
            guard let channel = words[1].text, case .bytes(let payload) = words[2] else { break }
            return .message(channel: channel, payload: payload)
        case ("subscribe", 3):
            guard let channel = words[1].text else { break }
            return .subscribed(channel)
        case ("pong", _), ("unsubscribe", 3):
            return .wait
        default:
            break
        }
        return self.close("Redis at \(self.target) sent to a listener what is no message")
    }

    package mutating func tick(now: NIODeadline) -> TickAction {
        guard !self.isClosed else { return .wait }
        if self.handshake != nil {
            guard Duration(now - self.opened) >= self.limits.opening else { return .wait }
            self.isClosed = true
            return .close("Redis at \(self.target) did not answer the login of a listener in time")
        }
        if let asked = self.asked {
            guard Duration(now - asked) >= self.limits.giveUp else { return .wait }
            self.isClosed = true
            return .close("Redis at \(self.target) gives no sign of life to a listener")
        }
        guard Duration(now - self.heard) >= self.limits.idle else { return .wait }
        self.asked = now
        return .send(RedisCommand("PING"))
    }

    private mutating func close(_ reason: String) -> ReceiveAction {
        self.isClosed = true
        return .close(reason)
    }
}
