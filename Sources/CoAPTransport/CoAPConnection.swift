package import CoAP
package import NIOCore

/// The handle of one connection: the only way into its event loop from elsewhere.
package final class CoAPConnection: Sendable {
    package let channel: any Channel
    package let arrival: ConnectionArrival
    private let handler: NIOLoopBound<ConnectionHandler>
    private let endedFuture: EventLoopFuture<ConnectionEnd>

    init(channel: any Channel, handler: ConnectionHandler, ended: EventLoopFuture<ConnectionEnd>) {
        self.channel = channel
        self.arrival = handler.arrival
        self.handler = NIOLoopBound(handler, eventLoop: channel.eventLoop)
        self.endedFuture = ended
    }

    /// Puts the handler at the end of the channel's pipeline; it hands this connection on once it is open. On the event
    /// loop.
    func addHandler() throws {
        let handler = self.handler.value
        handler.connection = self
        do {
            try self.channel.pipeline.syncOperations.addHandler(handler)
        } catch {
            handler.connection = nil
            throw error
        }
    }

    package var eventLoop: any EventLoop { self.channel.eventLoop }

    /// The address of the peer for log lines: behind a proxy the one the proxy gave.
    package var peerAddress: String {
        (self.arrival.peer ?? self.channel.remoteAddress)?.hostAndPort ?? "unknown"
    }

    /// The address the peer dialled, unless something in front of us hid it.
    package var dialledAddress: SocketAddress? { self.arrival.dialled ?? self.channel.localAddress }

    /// Sends a request. `completion` is called exactly once, on the connection's event loop.
    package func send(
        _ request: Request, deadline: NIODeadline,
        completion: @escaping @Sendable (Result<Response, ExchangeError>) -> Void
    ) {
        self.handler.onLoop { $0.exchange(request, deadline: deadline, completion: completion) }
    }

    /// Sends a request and waits for its answer. Cancelling the task does not withdraw it.
    package func send(_ request: Request, timeout: TimeAmount) async throws(ExchangeError) -> Response {
        let result: Result<Response, ExchangeError> = await withCheckedContinuation { continuation in
            self.send(request, deadline: .now() + timeout) { continuation.resume(returning: $0) }
        }
        return try result.get()
    }

    /// Sends a GET that registers (Observe 0) and reports every answer to it, in order, on the connection's event loop.
    /// Unless it is cancelled, it ends with exactly one `ended` or one failure; the loss of the connection is one.
    /// Cancelled on that event loop, nothing comes any more.
    /// What comes in blocks is told once it is whole (RFC 7959 §2.6), or not at all where something newer came first.
    /// - Parameter deadline: for the first answer only; the rest of a later one has as long from when it came.
    package func observe(
        _ request: Request, deadline: NIODeadline,
        event: @escaping @Sendable (Result<ObservationEvent, ExchangeError>) -> Void
    ) -> ObservationHandle {
        let handler = self.handler
        let state = NIOLoopBoundBox.makeEmptyBox(valueType: ObservationState.self, eventLoop: self.eventLoop)
        handler.onLoop { handler in
            // Whoever is on the event loop may have cancelled before this came through.
            guard state.value == nil else { return }
            guard let id = handler.observe(request, deadline: deadline, event: event) else { return }
            if state.value == nil {
                state.value = .begun(id)
            } else {
                handler.cancel(id)
            }
        }
        return ObservationHandle {
            handler.onLoop { handler in
                if case .begun(let id) = state.value {
                    handler.cancel(id)
                }
                state.value = .cancelled
            }
        }
    }

    /// Answers a request of the peer.
    package func respond(to id: IncomingID, with response: Response) {
        self.handler.onLoop { $0.answer(id, with: response) }
    }

    /// Ends what `TransportLimits.firstMessageBytes` began: who the peer is, is known now.
    package func takeLargeMessages(_ limits: FrameLimits) {
        self.handler.onLoop { $0.takeLargeMessages(limits) }
    }

    /// The peer is no stranger any more: what it sends is read even while memory is short.
    package func becomeKnown() {
        self.handler.onLoop { $0.becomeKnown() }
    }

    /// Asks the peer for a sign of life. If none comes, keepalive closes the connection.
    package func ping() {
        self.handler.onLoop { $0.ping() }
    }

    /// The same, for whoever wants to know: true once the Pong to this very Ping came, false if it has not come at the
    /// deadline or the connection ended. `completion` is called exactly once, on the connection's event loop.
    package func ping(deadline: NIODeadline, completion: @escaping @Sendable (Bool) -> Void) {
        self.handler.onLoop { $0.ping(deadline: deadline, completion: completion) }
    }

    /// Asks the peer to close (RFC 8323 §5.5); after the grace period of the configuration we close.
    /// - Parameter alternativeAddresses: where the peer had better connect to next, `host:port`.
    package func release(holdOffSeconds: UInt32? = nil, alternativeAddresses: [String] = []) {
        self.handler.onLoop {
            $0.release(holdOffSeconds: holdOffSeconds, alternativeAddresses: alternativeAddresses)
        }
    }

    /// Requests of either side that wait for their answer. To be asked on the connection's event loop.
    package var workCount: Int { self.handler.value.workCount }

    /// Calls `quiet` once, on the connection's event loop, when no request of either side waits for its answer; not at
    /// all if the connection ends before. A second call takes the place of the first.
    package func whenQuiet(_ quiet: @escaping @Sendable () -> Void) {
        self.handler.onLoop { $0.whenQuiet(quiet) }
    }

    /// Takes back every request that was not yet given to the transport; each ends as not delivered.
    package func withdrawQueued() {
        self.handler.onLoop { $0.withdrawQueued() }
    }

    /// Tells the peer why, then closes (RFC 8323 §5.6).
    package func abort(_ diagnostic: String) {
        self.handler.onLoop { $0.abort(diagnostic: diagnostic, end: .closedByUs(diagnostic)) }
    }

    /// Closes without a word.
    package func close(reason: String) {
        self.handler.onLoop { $0.closeNow(.closedByUs(reason)) }
    }

    /// Sends a Release, closes, and returns when that is done.
    package func close() async {
        self.handler.onLoop {
            $0.release(holdOffSeconds: nil)
            $0.closeNow(.closedByUs("closed"))
        }
        _ = await self.ended
    }

    /// Why the connection ended, once it has.
    package var ended: ConnectionEnd {
        get async {
            // The promise is only ever succeeded, by the handler's last event.
            (try? await self.endedFuture.get()) ?? .failed("the event loop was shut down")
        }
    }
}

private enum ObservationState {
    case begun(ExchangeID)
    case cancelled
}

extension SocketAddress {
    /// As in a URI (RFC 3986 §3.2.2); nil for what has no address.
    package var hostAndPort: String? {
        guard let ip = self.ipAddress else { return nil }
        return self.protocol == .inet6 ? "[\(ip)]:\(self.port ?? 0)" : "\(ip):\(self.port ?? 0)"
    }
}
