package import Cloud
package import CoAP
package import CoAPTransport
package import Logging
package import NIOCore
import ServiceLifecycle
import Synchronization

/// Accepts connections of our other programs: each proves itself first, and then sends as many requests at a time as
/// the window takes. It never stops reading, so that no slow answer holds up the others.
package final class HopListener: Service {
    private let listener: CoAPListener
    private let stopGrace: TimeAmount

    private init(listener: CoAPListener, stopGrace: TimeAmount) {
        self.listener = listener
        self.stopGrace = stopGrace
    }

    /// Binds and accepts at once.
    /// - Parameters:
    ///   - port: 0 for any free one.
    ///   - name: who we are: the pod's name with its boot id, or `registry`. Whoever means another is refused.
    ///   - tls: mutual TLS in front of the proof; nil: none.
    ///   - stopGrace: how long requests in flight may go on when the process stops.
    ///   - loopWatch: is asked before each read.
    ///   - responder: called on the connection's event loop. Internal options are as the peer sent them.
    /// - Throws: what binding failed with, as the system said it.
    package static func bind(
        host: String, port: Int, group: any EventLoopGroup, name: String, secrets: ClusterSecrets,
        tls: HopTLS? = nil, limits: HopLimits = HopLimits(), stopGrace: TimeAmount = .seconds(10),
        loopWatch: LoopWatch? = nil, logger: Logger, responder: any Responder
    ) async throws -> HopListener {
        let context = HopAcceptorContext(
            name: name, secrets: secrets, limits: limits, logger: logger, responder: responder)
        let listener = try await CoAPListener.bind(
            host: host, port: port, group: group, configuration: limits.acceptor, limits: limits.transport,
            maximumConnections: limits.maximumConnections, limitName: "connections between programs",
            loopWatch: loopWatch, logger: logger,
            prepare: { channel in
                if let tls {
                    try channel.pipeline.syncOperations.addHandler(tls.serverHandler())
                }
            },
            makeDelegate: { HopAcceptor(context: context) })
        return HopListener(listener: listener, stopGrace: stopGrace)
    }

    /// The port that was bound.
    package var port: Int { self.listener.port }

    /// Open connections, proven or not.
    package var connectionCount: Int { self.listener.connectionCount }

    /// Serves until the shutdown, then stops.
    package func run() async throws {
        try? await gracefulShutdown()
        await self.stop()
    }

    /// Stops accepting, asks every peer to go elsewhere (RFC 8323 §5.5), and closes who is still there when the grace
    /// time is over.
    package func stop() async {
        await self.listener.stopAccepting()
        await self.listener.releaseAll(grace: self.stopGrace)
    }

    /// Closes every connection at once, without a word: what is in flight ends as unknown at the other side. Those of
    /// the event loop the caller is on have ended on return.
    package func closeAll(reason: String) {
        self.listener.closeAll(reason: reason)
    }
}

/// What the connections of one listener have in common.
final class HopAcceptorContext: Sendable {
    let name: String
    let secrets: ClusterSecrets
    let limits: HopLimits
    let logger: Logger
    let responder: any Responder
    private let unproven = Atomic(0)

    init(
        name: String, secrets: ClusterSecrets, limits: HopLimits, logger: Logger,
        responder: any Responder
    ) {
        self.name = name
        self.secrets = secrets
        self.limits = limits
        self.logger = logger
        self.responder = responder
    }

    /// A place among those without proof; false if all are taken.
    func reserve() -> Bool {
        guard self.unproven.add(1, ordering: .relaxed).newValue <= self.limits.maximumUnproven else {
            self.giveBack()
            return false
        }
        return true
    }

    func giveBack() {
        self.unproven.subtract(1, ordering: .relaxed)
    }
}
