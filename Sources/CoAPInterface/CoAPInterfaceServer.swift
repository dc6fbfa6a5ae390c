package import CoAP
package import CoAPTransport
package import NIOCore
import ServiceLifecycle
package import ServiceShell

/// One port for devices and clients.
package struct DevicePort: Sendable {
    package var transport: ListenerTransport
    /// 0 for any free one.
    package var port: Int

    package init(_ transport: ListenerTransport, port: Int) {
        self.transport = transport
        self.port = port
    }
}

/// A port for devices and clients that could not be taken.
package struct DevicePortError: Error, Sendable {
    package let scheme: URIScheme
    package let port: Int
    /// As the system said it.
    package let underlying: any Error
}

/// The listeners for devices and clients, with everything behind them.
package struct CoAPInterfaceServer: Service {
    private let listeners: [(scheme: URIScheme, listener: CoAPListener)]
    private let context: CoAPInterfaceContext
    /// How long peers have to close after our Release when the process stops.
    private let stopGrace: TimeAmount

    /// Binds one port of CoAP over TCP. Requests are served from here on.
    package static func bind(
        host: String, port: Int, group: any EventLoopGroup, configuration: ConnectionConfiguration,
        limits: TransportLimits = TransportLimits(), maximumConnections: Int, stopGrace: TimeAmount = .seconds(2),
        context: CoAPInterfaceContext
    ) async throws -> CoAPInterfaceServer {
        try await self.bind(
            host: host, ports: [DevicePort(.tcp, port: port)], group: group, configuration: configuration,
            limits: limits, maximumConnections: maximumConnections, stopGrace: stopGrace, context: context)
    }

    /// Binds all of `ports`, or none.
    /// - Parameters:
    ///   - ports: at most one for each scheme.
    ///   - proxies: who has to say on whose behalf it connects, on all of them.
    ///   - maximumConnections: on all of them together.
    ///   - handshakes: how TLS handshakes are spread over time; nil: not at all.
    ///   - sources: how many connections one source may open; nil: any number.
    ///   - ceilings: what they have to fit under together with those of other ports; nil: nothing.
    /// - Throws: `DevicePortError`.
    package static func bind(
        host: String, ports: [DevicePort], proxies: ProxySources = ProxySources(), group: any EventLoopGroup,
        configuration: ConnectionConfiguration, limits: TransportLimits = TransportLimits(), maximumConnections: Int,
        handshakes: HandshakeLimits? = nil, sources: SourceLimit? = nil, ceilings: Ceilings? = nil,
        stopGrace: TimeAmount = .seconds(2), context: CoAPInterfaceContext
    ) async throws(DevicePortError) -> CoAPInterfaceServer {
        let metrics = context.metrics
        let sharing = ListenerGroup(
            maximumConnections: maximumConnections, handshakes: handshakes, logger: context.logger,
            admits: { sources?.admits($0) ?? true },
            ceiling: ceilings.map(ListenerCeiling.init) ?? ListenerCeiling(),
            onHandshakeWait: { metrics.handshakeWaited($0) },
            onRefusal: { metrics.refusedConnection($0) })
        var listeners: [(scheme: URIScheme, listener: CoAPListener)] = []
        for port in ports {
            do {
                let listener = try await CoAPListener.bind(
                    host: host, port: port.port, transport: port.transport, proxies: proxies, sharing: sharing,
                    group: group, configuration: configuration, limits: limits, loopWatch: context.watch,
                    logger: context.logger
                ) {
                    DeviceConnection(context: context)
                }
                listeners.append((port.transport.scheme, listener))
            } catch {
                for (_, listener) in listeners { await listener.stopAccepting() }
                throw DevicePortError(scheme: port.transport.scheme, port: port.port, underlying: error)
            }
        }
        return CoAPInterfaceServer(listeners: listeners, context: context, stopGrace: stopGrace)
    }

    /// The port of CoAP over TCP; 0 if there is none.
    package var port: Int { self.ports[.tcp] ?? 0 }
    package var ports: [URIScheme: Int] {
        Dictionary(self.listeners.map { ($0.scheme, $0.listener.port) }) { first, _ in first }
    }
    package var connectionCount: Int { self.listeners.reduce(0) { $0 + $1.listener.connectionCount } }

    /// Serves until the shutdown, then stops accepting, releases everybody, and closes who stays.
    package func run() async throws {
        try? await gracefulShutdown()
        for (_, listener) in self.listeners { await listener.stopAccepting() }
        await withTaskGroup { group in
            for (_, listener) in self.listeners {
                group.addTask { await listener.releaseAll(grace: self.stopGrace) }
            }
        }
    }
}

extension ListenerCeiling {
    init(_ ceilings: Ceilings) {
        self.init(
            enter: {
                switch ceilings.enter() {
                case nil: nil
                case .memory: .memory
                case .descriptors: .descriptors
                }
            }, leave: { ceilings.leave() }, isMemoryShort: { ceilings.memory.isShort })
    }
}
