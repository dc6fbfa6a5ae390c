import Certificates
import CoAP
import FoundationEssentials
import Logging
import NIOCore
import NIOPosix
import TestSupport
import Testing

@testable import CoAPTransport

@Suite("Certificates of peers while they are connected", .timeLimit(.minutes(2)))
struct PeerCertificateTests {
    private static let ids = ["0685b960-736f-46f7-bec0-9e6cbd61adc1", "11111111-736f-46f7-bec0-9e6cbd61adc1"]

    private static func connect(
        _ bench: ListenerBench, _ certificates: TestCertificates, _ own: (certificate: String, key: String)? = nil
    ) async throws -> CoAPConnection {
        try await CoAPDialer(group: MultiThreadedEventLoopGroup.singleton, logger: ListenerBench.logger).connect(
            host: "127.0.0.1", port: bench.listener.port,
            transport: .tls(try certificates.client(showing: own)), timeout: .seconds(20), server: nil)
    }

    private static let echo: ListenerBench.Handling = { connection, request, id in
        connection.respond(to: id, with: Response(.content, payload: request.payload))
    }

    private static func isServed(_ client: CoAPConnection) async throws -> Bool {
        try await client.send(Request(.get, path: ["x"]), timeout: .seconds(20)).code == .content
    }

    @Test("The delegate is told the certificate that was shown")
    func shown() async throws {
        let certificates = try TestCertificates()
        try await ListenerBench.with(transport: .tls(try certificates.server(.required))) { bench in
            for id in Self.ids {
                let client = try await Self.connect(bench, certificates, certificates.issue("uuid:\(id)", to: id))
                let shown = try await bench.next("a certificate") { event -> PeerCertificate?? in
                    if case .secured(let certificate) = event { .some(certificate) } else { nil }
                }
                #expect(shown?.uuid == id)
                await client.close()
            }
        }
    }

    @Test("A certificate that ends while its peer is connected ends the connection, with a log line; others stay")
    func ended() async throws {
        let certificates = try TestCertificates()
        try await ListenerBench.with(
            limits: TransportLimits(certificateInterval: .milliseconds(50)),
            transport: .tls(try certificates.server(.optional)), handling: Self.echo
        ) { bench in
            let short = try certificates.issue("uuid:\(Self.ids[0])", to: "short", lasting: 6)
            let long = try certificates.issue("uuid:\(Self.ids[1])", to: "long")
            let client = try await Self.connect(bench, certificates, short)
            let others = [
                try await Self.connect(bench, certificates, long), try await Self.connect(bench, certificates),
            ]
            #expect(try await Self.isServed(client))
            #expect(await client.ended == .abortedByPeer(diagnostic: "the certificate of this peer has expired"))
            let line = try await bench.logLine()
            #expect(line.message.contains("the certificate of this peer has expired"))
            #expect(line.metadata["count"] == "1")
            #expect(line.metadata["device.id"] == "\(Self.ids[0])")
            for other in others {
                #expect(try await Self.isServed(other))
                await other.close()
            }
        }
    }

    @Test("An authority that is not trusted any more ends the connections of all that it has issued; others stay")
    func authorityGone() async throws {
        let (staying, leaving) = (try TestCertificates(), try TestCertificates())
        let pool = "\(leaving.directory)/pool.pem"
        try FileManager.default.copyItem(atPath: leaving.authorityFile, toPath: pool)
        var files = staying.files
        files.authorities.append(pool)
        let server = try ServerCertificates(files: files, clients: .optional, logger: ListenerBench.logger)
        try await ListenerBench.with(transport: .tls(server), handling: Self.echo) { bench in
            let own = try leaving.issue("uuid:\(Self.ids[0])", to: "device")
            // Our own certificate comes from the other.
            try FileManager.default.removeItem(atPath: leaving.authorityFile)
            try FileManager.default.copyItem(atPath: staying.authorityFile, toPath: leaving.authorityFile)
            let gone = try await Self.connect(bench, leaving, own)
            let other = try await Self.connect(
                bench, staying, staying.issue("uuid:\(Self.ids[1])", to: "device"))
            #expect(try await Self.isServed(gone))
            try FileManager.default.removeItem(atPath: pool)
            try FileManager.default.copyItem(atPath: staying.authorityFile, toPath: pool)
            server.reloadIfChanged()
            let end = await gone.ended
            #expect(
                end == .abortedByPeer(diagnostic: "the authority of this peer's certificate is not trusted any more"))
            #expect(try await bench.logLine().metadata["count"] == "1")
            #expect(try await Self.isServed(other))
            await other.close()
        }
    }
}
