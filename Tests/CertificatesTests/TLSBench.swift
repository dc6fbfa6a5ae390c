import Certificates
import FoundationEssentials
import Logging
import NIOCore
import NIOPosix
import NIOSSL
import SwiftASN1
import Synchronization

/// A listener with certificates in a folder of its own: it tells every client that gets in who it is.
final class TLSBench: Sendable {
    static let ownName = "uuid:1d1d1d1d-0000-4000-8000-000000000001"

    let folder = TestFolder()
    let authority: TestAuthority
    let log = TestLog()
    let certificates: ServerCertificates
    private let server: any Channel
    private let known: Known

    /// Of the client that was greeted last.
    var lastPeer: PeerCertificate? { self.known.last.withLock { $0 } }

    var files: ServerCertificates.Files {
        .init(
            certificate: "\(self.folder.path)/server.pem", key: "\(self.folder.path)/server.key",
            authorities: ["\(self.folder.path)/ca.pem"], revocations: ["\(self.folder.path)/crl.pem"])
    }

    var port: Int { self.server.localAddress?.port ?? 0 }

    /// - Parameter also: other authorities that are trusted.
    init(
        clients: ServerCertificates.ClientVerification = .required, protocols: [String] = [],
        revoked: TestList = TestList(), interval: TimeAmount = .hours(1), authority: TestAuthority? = nil,
        also: [TestAuthority] = []
    ) async throws {
        let authority = try authority ?? TestAuthority("authority")
        let path = self.folder.path
        try Self.write([authority] + also, to: "\(path)/ca.pem")
        let own = try authority.issue { $0.commonName = Self.ownName }
        try own.write(to: "\(path)/server.pem", key: "\(path)/server.key")
        try Data(revoked.signed(by: authority)).write(to: URL(fileURLWithPath: "\(path)/crl.pem"))
        let certificates = try ServerCertificates(
            files: .init(
                certificate: "\(path)/server.pem", key: "\(path)/server.key", authorities: ["\(path)/ca.pem"],
                revocations: ["\(path)/crl.pem"]),
            clients: clients, protocols: protocols, interval: interval, logger: self.log.logger)
        self.authority = authority
        self.certificates = certificates
        let known = Known()
        self.known = known
        self.server = try await ServerBootstrap(group: MultiThreadedEventLoopGroup.singleton)
            .serverChannelOption(.backlog, value: 256)
            .childChannelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    let handshake = certificates.handshake()
                    try channel.pipeline.syncOperations.addHandlers(handshake.handler, Greeter(handshake, known))
                }
            }
            .bind(host: "127.0.0.1", port: 0).get()
    }

    func replaceAuthorities(_ authorities: [TestAuthority]) throws {
        try Self.write(authorities, to: "\(self.folder.path)/ca.pem")
    }

    private static func write(_ authorities: [TestAuthority], to path: String) throws {
        try authorities.map { try $0.certificate.serializeAsPEM().pemString }.joined(separator: "\n")
            .write(toFile: path, atomically: true, encoding: .utf8)
    }

    func replaceList(_ bytes: [UInt8]) throws {
        try Data(bytes).write(to: URL(fileURLWithPath: "\(self.folder.path)/crl.pem"), options: .atomic)
    }

    func close() async throws { try await self.server.close() }

    /// What the listener says to such a client: its id, or `-` if it has none; nil if it is not let in.
    func greeting(_ client: TLSConfiguration) async throws -> String? {
        let connection = try await self.connect(client)
        let greeting = try await connection.greeting.get()
        // It may be closed already.
        try? await connection.channel.close()
        return greeting
    }

    func connect(
        _ client: TLSConfiguration
    ) async throws -> (channel: any Channel, greeting: EventLoopFuture<String?>) {
        let context = try NIOSSLContext(configuration: client)
        let loop = MultiThreadedEventLoopGroup.singleton.next()
        let promise = loop.makePromise(of: String?.self)
        let channel = try await ClientBootstrap(group: loop)
            .channelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    try channel.pipeline.syncOperations.addHandlers(
                        NIOSSLClientHandler(context: context, serverHostname: "localhost"), Asker(promise))
                }
            }
            .connect(host: "127.0.0.1", port: self.port).get()
        return (channel, promise.futureResult)
    }
}

/// Who was greeted.
private final class Known: Sendable {
    let last = Mutex<PeerCertificate?>(nil)
}

/// The listener's end.
private final class Greeter: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer
    typealias OutboundOut = ByteBuffer

    private let handshake: ServerHandshake
    private let known: Known

    init(_ handshake: ServerHandshake, _ known: Known) {
        self.handshake = handshake
        self.known = known
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        let name: String
        switch self.handshake.peer() {
        case .anonymous: name = "-"
        case .known(let peer):
            name = peer.uuid ?? "-"
            self.known.last.withLock { $0 = peer }
        case .refused(let reason): name = "refused: \(reason)"
        }
        context.writeAndFlush(self.wrapOutboundOut(ByteBuffer(string: name)), promise: nil)
        // A whole line comes from a tool, which goes when we do.
        if String(buffer: self.unwrapInboundIn(data)).hasSuffix("\n") { context.close(promise: nil) }
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) { context.close(promise: nil) }
}

/// The client's end: says something and waits for the answer.
private final class Asker: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer
    typealias OutboundOut = ByteBuffer

    private var promise: EventLoopPromise<String?>?

    init(_ promise: EventLoopPromise<String?>) { self.promise = promise }

    private func end(_ answer: String?) {
        self.promise?.succeed(answer)
        self.promise = nil
    }

    func channelActive(context: ChannelHandlerContext) {
        context.writeAndFlush(self.wrapOutboundOut(ByteBuffer(string: "?")), promise: nil)
        context.fireChannelActive()
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        self.end(String(buffer: self.unwrapInboundIn(data)))
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) { context.close(promise: nil) }

    func channelInactive(context: ChannelHandlerContext) { self.end(nil) }
}

extension TLSBench {
    /// A connection that says this and nothing more.
    static func plain(port: Int, saying bytes: [UInt8]) async throws -> any Channel {
        let channel = try await ClientBootstrap(group: MultiThreadedEventLoopGroup.singleton)
            .connect(host: "127.0.0.1", port: port).get()
        try await channel.writeAndFlush(ByteBuffer(bytes: bytes))
        return channel
    }
}
