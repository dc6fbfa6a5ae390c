import Certificates
import CoAP
import FoundationEssentials
import Logging
import NIOCore
import NIOPosix
import NIOSSL
import TestSupport
import Testing

@testable import Hop

@Suite("Mutual TLS between our own programs", .timeLimit(.minutes(1)))
struct HopTLSTests {
    private static let podName = "127-0-0-1.cloud.pod.cluster.local"

    private static func tls(
        _ authority: TestAuthority, name: String = podName, file: String = "leaf", trusting: TestAuthority? = nil
    ) throws -> HopTLS {
        let paths = try authority.issue(name, to: file)
        return try HopTLS(
            files: .init(
                certificate: paths.certificate, key: paths.key,
                authorities: [(trusting ?? authority).authorityFile]),
            namespace: "cloud", logger: HopBench.logger)
    }

    private static func with(
        _ tls: HopTLS, client: HopTLS?, limits: HopLimits = HopLimits(),
        _ body: (HopServer, HopPool) async throws -> Void
    ) async throws {
        let server = try await HopServer.bind(tls: tls, limits: limits) { request, answer in
            answer(Response(.content, payload: request.payload))
        }
        let pool = try HopBench.pool(tls: client)
        try await HopBench.with(server, pool) { try await body(server, pool) }
    }

    @Test("Two with certificates of one authority talk, if the acceptor's has the name of its address")
    func accepted() async throws {
        let authority = try TestAuthority("one")
        let tls = try Self.tls(authority)
        try await Self.with(tls, client: tls) { server, pool in
            let request = Request.hop(.post, bytes: 500_000)
            #expect(await pool.send(request, to: server.target()).payload == request.payload)
            // The registry is known by the name of its service.
            let other = await pool.send(.hop(), to: server.target(certificateName: "registry.cloud.svc"))
            #expect(other.options.undelivered == .unreachable)
        }
        let registry = try Self.tls(authority, name: "registry.cloud.svc", file: "registry")
        try await Self.with(registry, client: tls) { server, pool in
            #expect(await pool.send(.hop(), to: server.target()).options.undelivered == .unreachable)
            let named = await pool.send(.hop(), to: server.target(certificateName: "registry.cloud.svc"))
            #expect(named.code == .content)
            #expect(server.asked == 1)
        }
    }

    @Test("Without a client certificate, or with one of another authority, nothing gets in")
    func clientCertificate() async throws {
        let authority = try TestAuthority("one")
        let foreign = try TestAuthority("two")
        try await Self.with(try Self.tls(authority), client: Self.tls(foreign, trusting: authority)) { server, pool in
            #expect(await pool.send(.hop(), to: server.target()).options.undelivered == .unreachable)
            #expect(server.asked == 0)
            // And with none at all.
            var configuration = TLSConfiguration.makeClientConfiguration()
            configuration.certificateVerification = .none
            let context = try NIOSSLContext(configuration: configuration)
            let end = MultiThreadedEventLoopGroup.singleton.any().makePromise(of: Void.self)
            _ = try await ClientBootstrap(group: MultiThreadedEventLoopGroup.singleton)
                .channelInitializer { channel in
                    channel.closeFuture.cascade(to: end)
                    return channel.eventLoop.makeCompletedFuture {
                        try channel.pipeline.syncOperations.addHandler(
                            NIOSSLClientHandler(context: context, serverHostname: Self.podName))
                    }
                }
                .connect(host: "127.0.0.1", port: server.listener.port).get()
            try await end.futureResult.get()
            #expect(server.asked == 0)
        }
    }

    @Test("An acceptor with a certificate of another authority is refused")
    func serverCertificate() async throws {
        let authority = try TestAuthority("one")
        let foreign = try TestAuthority("two")
        try await Self.with(
            try Self.tls(foreign, trusting: authority), client: Self.tls(authority)
        ) { server, pool in
            #expect(await pool.send(.hop(), to: server.target()).options.undelivered == .unreachable)
            #expect(server.asked == 0)
        }
    }

    @Test("Plain text at the port of TLS, and TLS at the port of plain text, come to nothing")
    func plainText() async throws {
        let tls = try Self.tls(try TestAuthority("one"))
        var limits = HopLimits()
        limits.unprovenTimeout = .milliseconds(500)
        try await Self.with(tls, client: nil, limits: limits) { server, pool in
            #expect(await pool.send(.hop(), to: server.target()).options.undelivered == .unreachable)
            #expect(server.asked == 0)
        }
        let plain = try await HopServer.bind(limits: limits)
        let pool = try HopBench.pool(tls: tls)
        try await HopBench.with(plain, pool) {
            #expect(await pool.send(.hop(), to: plain.target()).options.undelivered == .unreachable)
            #expect(plain.asked == 0)
        }
    }

    @Test("Changed files are taken up; files that cannot be used leave everything as it was")
    func reload() async throws {
        let authority = try TestAuthority("one")
        let client = try Self.tls(authority, file: "client")
        let server = try Self.tls(authority, name: "another.name", file: "server")
        try await Self.with(server, client: client) { bench, _ in
            // The name is wrong as yet.
            let first = try HopBench.pool(tls: client)
            #expect(await first.send(.hop(), to: bench.target()).options.undelivered == .unreachable)
            first.shutDown()
            _ = try authority.issue(Self.podName, to: "server")
            server.reloadIfChanged()
            let second = try HopBench.pool(tls: client)
            #expect(await second.send(.hop(), to: bench.target()).code == .content)
            second.shutDown()
            try "no certificate".write(
                toFile: "\(authority.directory)/server.pem", atomically: true, encoding: .utf8)
            server.reloadIfChanged()
            let third = try HopBench.pool(tls: client)
            #expect(await third.send(.hop(), to: bench.target()).code == .content)
            third.shutDown()
        }
    }

    @Test("A file that is missing is named")
    func missing() throws {
        let authority = try TestAuthority("one")
        let paths = try authority.issue(Self.podName)
        let files = HopTLS.Files(
            certificate: paths.certificate, key: "/nowhere.key", authorities: [authority.authorityFile])
        let error = #expect(throws: HopTLSError.self) {
            try HopTLS(files: files, namespace: "cloud", logger: HopBench.logger)
        }
        #expect(error?.path == "/nowhere.key")
    }

    @Test(
        "The name of a pod follows from its address",
        arguments: [
            ("10.0.0.7", "10-0-0-7.cloud.pod.cluster.local"), ("fd00::7", "fd00--7.cloud.pod.cluster.local"),
            ("fe80::1%eth0", "fe80--1.cloud.pod.cluster.local"),
        ])
    func podNames(address: String, name: String) {
        #expect(HopTLS.podName(address: address, namespace: "cloud") == name)
        #expect(HopTLS.podName(address: "registry", namespace: "cloud") == nil)
    }
}
