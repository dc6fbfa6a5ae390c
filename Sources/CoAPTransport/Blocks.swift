import CoAP
import NIOCore

/// The block-wise transfers of one connection, and the timer that frees what they keep.
final class Blocks {
    let settings: BlockSettings
    var server: BlockServer
    /// Before the peer is known it has to do with single messages: see `TransportLimits.firstMessageBytes`.
    var isAllowed: Bool
    private var lastTag: UInt64 = 0
    private var timer: Scheduled<Void>?

    init(_ settings: BlockSettings, isAllowed: Bool) {
        self.settings = settings
        self.server = BlockServer(self.settings)
        self.isAllowed = isAllowed
    }

    func makeTag() -> UInt64 {
        self.lastTag += 1
        return self.lastTag
    }

    /// Sees to it that nothing is kept for longer than it may be. A timer that fires early costs one look.
    func schedule(on eventLoop: any EventLoop) {
        guard self.timer == nil, let next = self.server.nextDeadline else { return }
        self.timer = eventLoop.assumeIsolated().scheduleTask(deadline: next) {
            self.timer = nil
            self.server.expire(now: .now())
            self.schedule(on: eventLoop)
        }
    }

    func close() {
        self.timer?.cancel()
        self.timer = nil
        self.server.closed()
    }
}
