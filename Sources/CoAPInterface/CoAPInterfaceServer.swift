package import CoAP
package import CoAPTransport
package import NIOCore
import ServiceLifecycle

/// The listener for devices and clients, with everything behind it.
package struct CoAPInterfaceServer: Service {
    private let listener: CoAPListener
    private let context: CoAPInterfaceContext
    /// How long peers have to close after our Release when the process stops.
    private let stopGrace: TimeAmount

    /// Binds. Requests are served from here on.
    package static func bind(
        host: String, port: Int, group: any EventLoopGroup, configuration: ConnectionConfiguration,
        limits: TransportLimits = TransportLimits(), maximumConnections: Int, stopGrace: TimeAmount = .seconds(2),
        context: CoAPInterfaceContext
    ) async throws -> CoAPInterfaceServer {
        let listener = try await CoAPListener.bind(
            host: host, port: port, group: group, configuration: configuration, limits: limits,
            maximumConnections: maximumConnections, loopWatch: context.watch, logger: context.logger
        ) {
            DeviceConnection(context: context)
        }
        return CoAPInterfaceServer(listener: listener, context: context, stopGrace: stopGrace)
    }

    package var port: Int { self.listener.port }
    package var connectionCount: Int { self.listener.connectionCount }

    /// Serves until the shutdown, then stops accepting, releases everybody, and closes who stays.
    package func run() async throws {
        try? await gracefulShutdown()
        await self.listener.stopAccepting()
        await self.listener.releaseAll(grace: self.stopGrace)
    }
}
