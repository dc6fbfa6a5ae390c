import Cloud
import CoAP
import CoAPTransport
import Hop
import Logging
import NIOCore
import NIOPosix
import Synchronization

/// Proves itself like a pod, takes so many requests, and then reads no more, as a process that was stopped.
final class FreezingServer: Sendable {
    private let frozen = Mutex<CoAPConnection?>(nil)

    var isFrozen: Bool { self.frozen.withLock { $0 != nil } }

    func bind(secrets: ClusterSecrets, freezeAt count: Int) async throws -> CoAPListener {
        try await CoAPListener.bind(
            host: "127.0.0.1", port: 0, group: MultiThreadedEventLoopGroup.singleton,
            configuration: ConnectionConfiguration(
                limits: FrameLimits(maximumMessageSize: 1 << 20), keepalive: nil, isInternal: true),
            limits: TransportLimits(messagesPerSecond: nil), maximumConnections: 10, logger: HopBench.logger
        ) {
            Delegate(server: self, secrets: secrets, freezeAt: count)
        }
    }

    /// The end of the process: the system closes its connections.
    func kill() {
        self.frozen.withLock { $0 }?.close(reason: "killed")
    }

    fileprivate func freeze(_ connection: CoAPConnection) {
        // The only failure is that the connection is gone.
        connection.channel.setOption(.autoRead, value: false).whenComplete { _ in
            self.frozen.withLock { $0 = connection }
        }
    }

    private final class Delegate: ConnectionDelegate {
        private let server: FreezingServer
        private var proof: AcceptorProof
        private var isProven = false
        private var left: Int
        private var connection: CoAPConnection?

        init(server: FreezingServer, secrets: ClusterSecrets, freezeAt count: Int) {
            self.server = server
            self.left = count
            self.proof = AcceptorProof(
                secrets: secrets, name: "pod-1.boot", window: HopWindow(), random: SystemRandomSource())
        }

        func connectionOpened(_ connection: CoAPConnection) { self.connection = connection }

        func connectionReceived(_ request: Request, id: IncomingID) {
            guard let connection = self.connection else { return }
            if self.isProven {
                self.left -= 1
                if self.left == 0 { self.server.freeze(connection) }
                return
            }
            switch self.proof.received(request) {
            case .answer(let response): connection.respond(to: id, with: response)
            case .refuse(let response, _): connection.respond(to: id, with: response)
            case .proven(_, let response):
                self.isProven = true
                connection.respond(to: id, with: response)
            }
        }

        func connectionReleased(to alternativeAddresses: [String]) {}
        func connectionIgnored(_ message: IgnoredMessage) {}
        func connectionEnded(_ end: ConnectionEnd) { self.connection = nil }
    }
}

/// Counts log lines by their message.
final class CountingLog: Sendable {
    private let counts = Mutex<[String: Int]>([:])

    var logger: Logger {
        var logger = Logger(label: "test") { _ in Handler(log: self) }
        logger.logLevel = .trace
        return logger
    }

    func count(of message: String) -> Int { self.counts.withLock { $0[message] ?? 0 } }

    private struct Handler: LogHandler {
        let log: CountingLog
        var metadata = Logger.Metadata()
        var logLevel = Logger.Level.trace

        init(log: CountingLog) { self.log = log }

        subscript(metadataKey key: String) -> Logger.Metadata.Value? {
            get { self.metadata[key] }
            set { self.metadata[key] = newValue }
        }

        func log(event: LogEvent) {
            self.log.counts.withLock { $0["\(event.message)", default: 0] += 1 }
        }
    }
}
