package import NIOCore
import NIOPosix
import Synchronization

/// Stands between clients and a server, and passes everything on later by a fixed time, each way: a long wire.
package final class DelayingRelay: Sendable {
    private let listener: any Channel
    private let connections: Connections

    private init(_ listener: any Channel, _ connections: Connections) {
        self.listener = listener
        self.connections = connections
    }

    /// - Parameter port: 0: one that the system chooses.
    package static func start(
        on host: String, port: Int, to target: (host: String, port: Int), delay: TimeAmount
    ) async throws -> DelayingRelay {
        let connections = Connections()
        let listener = try await ServerBootstrap(group: MultiThreadedEventLoopGroup.singleton)
            .serverChannelOption(.backlog, value: 4096)
            .serverChannelOption(.socketOption(.so_reuseaddr), value: 1)
            .childChannelOption(.tcpOption(.tcp_nodelay), value: 1)
            .childChannelOption(.allowRemoteHalfClosure, value: true)
            // Read once the other side is there.
            .childChannelOption(.autoRead, value: false)
            .childChannelInitializer { client in
                connections.enter(client)
                return ClientBootstrap(group: client.eventLoop)
                    .channelOption(.tcpOption(.tcp_nodelay), value: 1)
                    .channelOption(.allowRemoteHalfClosure, value: true)
                    .channelOption(.autoRead, value: false)
                    .connect(host: target.host, port: target.port)
                    .flatMapThrowing { server in
                        let (there, back) = (DelayedPassing(by: delay), DelayedPassing(by: delay))
                        try client.pipeline.syncOperations.addHandler(there)
                        try server.pipeline.syncOperations.addHandler(back)
                        there.passOn(to: back)
                        back.passOn(to: there)
                        try client.syncOptions?.setOption(.autoRead, value: true)
                        try server.syncOptions?.setOption(.autoRead, value: true)
                    }
            }
            .bind(host: host, port: port)
            .get()
        return DelayingRelay(listener, connections)
    }

    /// Where it listens.
    package var port: Int { self.listener.localAddress?.port ?? 0 }

    /// Returns once it has stopped.
    package func over() async throws {
        try await self.listener.closeFuture.get()
    }

    /// Takes no more connections, and closes those there are.
    package func stop() async {
        try? await self.listener.close()
        for client in self.connections.all { try? await client.close() }
    }
}

/// The clients' ends, while they are open.
private final class Connections: Sendable {
    private let channels = Mutex<[ObjectIdentifier: any Channel]>([:])

    var all: [any Channel] { self.channels.withLock { Array($0.values) } }

    func enter(_ channel: any Channel) {
        self.channels.withLock { $0[ObjectIdentifier(channel)] = channel }
        channel.closeFuture.whenComplete { _ in
            self.channels.withLock { _ = $0.removeValue(forKey: ObjectIdentifier(channel)) }
        }
    }
}
