import NIOCore

/// Carries out what the machine of the connection that listens decides.
final class RedisSubscriptionHandler: RedisHandler {
    private var machine: RedisSubscriptionMachine
    private let ready: EventLoopPromise<Void>
    private let listeners: RedisListeners

    /// - Parameter ready: completed in any case.
    init(
        _ configuration: RedisConfiguration, listeners: RedisListeners, ready: EventLoopPromise<Void>
    ) throws(RedisError) {
        self.machine = RedisSubscriptionMachine(configuration, channels: listeners.channels, now: .now())
        self.listeners = listeners
        self.ready = ready
        try super.init(configuration)
    }

    override func opened(_ context: ChannelHandlerContext) -> [RedisCommand] { self.machine.opening }

    /// Listens to what was added since.
    func refresh() {
        self.send(self.listeners.channels.compactMap { self.machine.subscribe($0) })
    }

    override func received(_ value: RedisValue) {
        switch self.machine.received(value, now: .now()) {
        case .wait: break
        case .ready(let commands):
            self.send(commands)
            self.ready.succeed()
            self.refresh()
        case .subscribed(let channel): self.listeners.subscribed(channel)
        case .message(let channel, let payload): self.listeners.heard(payload, on: channel)
        case .close(let reason): self.close(reason)
        }
    }

    override func tick() {
        switch self.machine.tick(now: .now()) {
        case .wait: break
        case .send(let command): self.send([command])
        case .close(let reason): self.close(reason)
        }
    }

    override func ended(_ reason: String) {
        self.ready.fail(RedisError.unavailable(reason))
    }
}
