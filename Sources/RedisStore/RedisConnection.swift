import NIOCore
import Synchronization

/// A command on its way, and whom to tell.
struct RedisRequest: Sendable {
    let command: RedisCommand
    let deadline: NIODeadline
    /// Called exactly once, on the connection's event loop or, when refused at once, on the caller's thread.
    let completion: @Sendable (Result<RedisValue, RedisError>) -> Void
}

/// A connection that is logged in, for whoever is on any thread. What is sent in one turn of the event loop goes out in
/// one write.
final class RedisConnection: Sendable {
    private struct Inbox {
        var requests: [RedisRequest] = []
        var isScheduled = false
        /// Why nothing is taken any more.
        var end: String?
        /// Why nothing comes back at the moment.
        var stall: String?
    }

    private enum Taken {
        case schedule, scheduled
        case refused(RedisError)
    }

    private let eventLoop: any EventLoop
    private let handler: NIOLoopBound<RedisConnectionHandler>
    private let limits: RedisLimits
    private let inbox = Mutex(Inbox())

    init(eventLoop: any EventLoop, handler: RedisConnectionHandler, limits: RedisLimits) {
        self.eventLoop = eventLoop
        self.handler = NIOLoopBound(handler, eventLoop: eventLoop)
        self.limits = limits
    }

    /// Sends the commands in this order, with nothing between them.
    func send(_ requests: [RedisRequest]) {
        let taken: Taken = self.inbox.withLock { inbox in
            if let end = inbox.end { return .refused(.unavailable(end)) }
            guard inbox.requests.count + requests.count <= self.limits.outstanding,
                !requests.contains(where: { $0.command.byteCount > self.limits.commandBytes })
            else { return .refused(.overloaded) }
            inbox.requests.append(contentsOf: requests)
            defer { inbox.isScheduled = true }
            return inbox.isScheduled ? .scheduled : .schedule
        }
        switch taken {
        case .scheduled: break
        case .schedule: self.eventLoop.execute { self.handler.value.drain() }
        case .refused(let error): for request in requests { request.completion(.failure(error)) }
        }
    }

    /// What was sent since the last time.
    func take() -> [RedisRequest] {
        self.inbox.withLock { inbox in
            inbox.isScheduled = false
            defer { inbox.requests = [] }
            return inbox.requests
        }
    }

    /// Why there is no point in sending now; nil if there is.
    var trouble: String? { self.inbox.withLock { $0.end ?? $0.stall } }

    func setStall(_ reason: String?) {
        self.inbox.withLock { $0.stall = reason }
    }

    /// Nothing is taken from now on; returns what was not looked at yet.
    func end(_ reason: String) -> [RedisRequest] {
        self.inbox.withLock { inbox in
            inbox.end = reason
            defer { inbox.requests = [] }
            return inbox.requests
        }
    }
}
