package import Cloud
package import CoAP
package import CoAPTransport
package import Logging
package import NIOCore
import NIOPosix
import Synchronization

/// What all connections of one pool have in common.
struct HopPoolSettings: Sendable {
    let me: HopPeer
    let secrets: ClusterSecrets
    let tls: HopTLS?
    let limits: HopLimits
    let dialer: CoAPDialer
    let logger: Logger
}

/// Connections to our other programs, one for each event loop and target: opened on use, proven, asked for a sign of
/// life when silent, closed when idle, dialled anew when lost.
package final class HopPool: Sendable {
    private let settings: HopPoolSettings
    private let loops: [ObjectIdentifier: NIOLoopBoundBox<HopLoop>]
    private let order: [NIOLoopBoundBox<HopLoop>]
    private let next = Atomic<UInt>(0)

    /// - Parameters:
    ///   - name: who we are, `{pod name}.{boot id}`.
    ///   - role: what we are: `northbound`, `coap-interface`.
    ///   - tls: mutual TLS in front of the proof; nil: none.
    ///   - loopWatch: is asked before each read; started before the pool is made.
    package init(
        group: any EventLoopGroup, name: String, role: String, secrets: ClusterSecrets, tls: HopTLS? = nil,
        limits: HopLimits = HopLimits(), loopWatch: LoopWatch? = nil, logger: Logger
    ) {
        let settings = HopPoolSettings(
            me: HopPeer(name: name, role: role), secrets: secrets, tls: tls, limits: limits,
            dialer: CoAPDialer(
                group: group, configuration: limits.initiator, limits: limits.transport, loopWatch: loopWatch,
                logger: logger),
            logger: logger)
        self.settings = settings
        let pairs = group.makeIterator().map { loop in
            (
                ObjectIdentifier(loop),
                NIOLoopBoundBox.makeBoxSendingValue(
                    HopLoop(eventLoop: loop, settings: settings), as: HopLoop.self, eventLoop: loop)
            )
        }
        self.loops = Dictionary(pairs) { first, _ in first }
        self.order = pairs.map(\.1)
    }

    /// Sends a request to `target`, over the connection of the event loop the caller is on, if it is one of ours.
    ///
    /// The request's `Deadline` says how long it may take; without one it is 20 s. Every failure is a response, made by
    /// `HopOutcome`: with `Undelivered` it can be sent again, with `UnknownOutcome` nobody knows what became of it.
    /// - Parameter answer: called exactly once, on one of the pool's event loops.
    package func send(
        _ request: Request, to target: HopTarget, answer: @escaping @Sendable (Response) -> Void
    ) {
        let hop = HopRequest(
            request: request, deadline: self.deadline(of: request), size: request.windowSize, answer: answer)
        self.send(hop, to: target, over: self.currentLoop())
    }

    /// Observes at `target`: the request is a GET, and its `Deadline` is for the first answer only. Failures are the
    /// same responses as those of `send`, each as the end. When the other side wants us to leave the connection, an
    /// observation that runs ends with `Undelivered.moving`; to be begun again at once.
    /// - Parameter event: on one of the pool's event loops, always the same for one observation. Unless it is cancelled
    ///   there is exactly one `ended`.
    package func observe(
        _ request: Request, at target: HopTarget, event: @escaping @Sendable (ObservationEvent) -> Void
    ) -> ObservationHandle {
        let loop = self.currentLoop()
        let observation = NIOLoopBoundBox.makeBoxSendingValue(
            HopObservation(event: event), as: HopObservation.self, eventLoop: loop.eventLoop)
        let hop = HopRequest(
            request: request, deadline: self.deadline(of: request), size: request.windowSize, observation: observation
        ) { observation.value.ended($0) }
        self.send(hop, to: target, over: loop)
        return ObservationHandle {
            if observation.eventLoop.inEventLoop {
                observation.value.cancel()
            } else {
                observation.eventLoop.execute { observation.value.cancel() }
            }
        }
    }

    private func deadline(of request: Request) -> NIODeadline {
        let time =
            request.options.deadlineMilliseconds.map { TimeAmount.milliseconds(Int64($0)) }
            ?? self.settings.limits.defaultDeadline
        return .now() + time
    }

    /// The event loop the caller is on, if it is one of ours.
    package var callersLoop: (any EventLoop)? {
        guard let current = MultiThreadedEventLoopGroup.currentEventLoop,
            self.loops[ObjectIdentifier(current)] != nil
        else { return nil }
        return current
    }

    /// The event loop the caller is on, if it is one of ours, else any.
    private func currentLoop() -> NIOLoopBoundBox<HopLoop> {
        if let current = MultiThreadedEventLoopGroup.currentEventLoop, let box = self.loops[ObjectIdentifier(current)] {
            return box
        }
        let turn = self.next.add(1, ordering: .relaxed).oldValue
        return self.order[Int(turn % UInt(self.order.count))]
    }

    private func send(_ hop: HopRequest, to target: HopTarget, over loop: NIOLoopBoundBox<HopLoop>) {
        if loop.eventLoop.inEventLoop {
            loop.value.send(hop, to: target)
        } else {
            loop.eventLoop.execute { loop.value.send(hop, to: target) }
        }
    }

    /// Closes all connections at once, without a word: for a process that slept and cannot trust what it still has.
    /// Requests in flight end as far as they had come; those of the event loop the caller is on have on return. The
    /// next request opens a new connection.
    package func closeAll(reason: String) {
        self.onEachLoop { $0.closeAll(reason: reason) }
    }

    /// The same, for good: every request from here on is answered as unreachable.
    package func shutDown() {
        self.onEachLoop { $0.shutDown(reason: "this program is stopping") }
    }

    private func onEachLoop(_ work: @escaping @Sendable (HopLoop) -> Void) {
        for box in self.order {
            if box.eventLoop.inEventLoop {
                work(box.value)
            } else {
                box.eventLoop.execute { work(box.value) }
            }
        }
    }

    /// How many connections there are, in all states.
    package func connectionCount() async -> Int {
        var count = 0
        for box in self.order {
            // The loop is gone: so are its connections.
            count += (try? await box.eventLoop.submit { box.value.connectionCount }.get()) ?? 0
        }
        return count
    }
}
