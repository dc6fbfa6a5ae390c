import Certificates
import CoAP
import CoAPTransport
import Logging
import NIOCore
import NIOPosix
import NIOSSL
import Testing

@testable import MockDevice

/// A listener of CoAP over TLS or WebSocket that answers every request 4.01, as a cloud does before sign-in.
private struct SecureListener {
    let listener: CoAPListener
    let authority: String
    let port: Int

    static let logger = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }

    static func with<R>(
        _ make: (ServerCertificates) -> ListenerTransport, _ body: (SecureListener) async throws -> R
    ) async throws -> R {
        let folder = try #require(shell("mktemp -d"))
        defer { _ = shell("rm -r '\(folder)'") }
        let (certificate, key) = ("\(folder)/server.pem", "\(folder)/key.pem")
        let made = shell(
            "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout '\(key)' -out "
                + "'\(certificate)' -days 2 -subj /CN=uuid:7c2a5f1e-0d3b-4e6a-9b1c-5d8e2f4a6b7c "
                + "-addext subjectAltName=DNS:localhost,IP:127.0.0.1 2>&1")
        try #require(made != nil, "openssl is missing")
        let certificates = try ServerCertificates(
            files: .init(certificate: certificate, key: key), protocols: ["coap"], logger: Self.logger)
        let listener = try await CoAPListener.bind(
            host: "127.0.0.1", port: 0, transport: make(certificates),
            sharing: ListenerGroup(maximumConnections: 100, logger: Self.logger),
            group: MultiThreadedEventLoopGroup.singleton, configuration: ConnectionConfiguration(),
            logger: Self.logger
        ) { Refusing() }
        let result: Result<R, any Error>
        do {
            result = .success(
                try await body(SecureListener(listener: listener, authority: certificate, port: listener.port)))
        } catch {
            result = .failure(error)
        }
        await listener.stopAccepting()
        listener.closeAll(reason: "the test is over")
        return try result.get()
    }

    private final class Refusing: ConnectionDelegate {
        private var connection: CoAPConnection?

        func connectionOpened(_ connection: CoAPConnection) { self.connection = connection }
        func connectionReceived(_ request: Request, id: IncomingID) {
            self.connection?.respond(to: id, with: Response(.unauthorized))
        }
        func connectionReleased(to alternativeAddresses: [String]) {}
        func connectionIgnored(_ message: IgnoredMessage) {}
        func connectionEnded(_ end: ConnectionEnd) {}
    }
}

@Suite("The device over TLS and WebSocket")
struct SecureTests {
    private struct Nothing: Responder {
        func respond(to request: Request, answer: @escaping @Sendable (Response) -> Void) {
            answer(Response(.notFound))
        }
    }

    private static let schemes: [URIScheme] = [.tls, .webSocket, .secureWebSocket]

    private static func transport(_ scheme: URIScheme) -> (ServerCertificates) -> ListenerTransport {
        { certificates in
            switch scheme {
            case .tcp: .tcp
            case .tls: .tls(certificates)
            case .webSocket: .webSocket
            case .secureWebSocket: .secureWebSocket(certificates)
            }
        }
    }

    private static func connect(
        _ address: ServerAddress, trust: TLSTrust
    ) async throws(ConnectFailure) -> any CloudConnection {
        let dialer = CoAPDialer(group: MultiThreadedEventLoopGroup.singleton, logger: SecureListener.logger)
        return try await TCPDialer(dialer, trust: trust)
            .connect(to: address, timeout: .seconds(20), server: Nothing())
    }

    @Test("A device reaches a cloud over each scheme, by name and by address", arguments: schemes)
    func reaches(scheme: URIScheme) async throws {
        try await SecureListener.with(Self.transport(scheme)) { cloud in
            for host in ["127.0.0.1", "localhost"] {
                let connection = try await Self.connect(
                    ServerAddress(scheme, host: host, port: cloud.port), trust: TLSTrust(authorities: cloud.authority))
                let answer = try await connection.send(
                    Request(.get, path: ["oic", "res"]), timeout: .seconds(20))
                #expect(answer.code == .unauthorized)
                await connection.close()
            }
        }
    }

    @Test("A certificate of an authority nobody named is refused with a sentence that says what to do")
    func untrusted() async throws {
        try await SecureListener.with(Self.transport(.tls)) { cloud in
            let address = ServerAddress(.tls, host: "127.0.0.1", port: cloud.port)
            do throws(ConnectFailure) {
                _ = try await Self.connect(address, trust: TLSTrust())
                Issue.record("taken")
            } catch {
                #expect(error.code == .untrusted, "\(error)")
                #expect(Advice.connecting(to: address, error).contains("--ca FILE"))
            }
            do throws(ConnectFailure) {
                _ = try await Self.connect(address, trust: TLSTrust(authorities: "/nowhere/ca.pem"))
                Issue.record("taken")
            } catch {
                #expect(error.code == .unusableCertificates)
                #expect(error.message.contains("/nowhere/ca.pem: No such file or directory"))
            }
            let junk = "/proc/self/status"
            do throws(ConnectFailure) {
                _ = try await Self.connect(address, trust: TLSTrust(authorities: junk))
                Issue.record("taken")
            } catch {
                #expect(error.message.contains("\(junk): it has no PEM certificates"))
            }
        }
    }

    @Test("TLS to a port without it is told as that, with the port that is meant")
    func noTLSThere() async throws {
        try await SecureListener.with(Self.transport(.tcp)) { cloud in
            let address = ServerAddress(.tls, host: "127.0.0.1", port: cloud.port)
            do throws(ConnectFailure) {
                _ = try await Self.connect(address, trust: TLSTrust(authorities: cloud.authority))
                Issue.record("taken")
            } catch {
                #expect(error.code == .notTLS, "\(error)")
                #expect(!error.message.contains("OPENSSL"))
                #expect(Advice.connecting(to: address, error).contains("5684"))
            }
        }
    }

    private static func verdicts(
        _ numbers: [Int], _ address: ServerAddress, authority: String
    ) async throws -> [CaseResult] {
        let plan = try await ConformancePlan(
            addresses: [address], http: nil, codes: .codes([]), patience: .seconds(20), slowPatience: .seconds(20),
            trust: TLSTrust(authorities: authority))
        return await ConformanceRun(plan, includesSlow: false, parallel: 2)
            .run(ConformanceRun.cases.filter { numbers.contains($0.number) })
    }

    @Test("The cases about frames and signalling, TLS and WebSocket pass where CoAP is spoken so", arguments: schemes)
    func cases(scheme: URIScheme) async throws {
        let numbers = scheme.isWebSocket ? [13, 16, 18, 23, 88, 89] : Array(1...13) + [15, 16, 18, 23, 90]
        try await SecureListener.with(Self.transport(scheme)) { cloud in
            let address = ServerAddress(scheme, host: "127.0.0.1", port: cloud.port)
            let results = try await Self.verdicts(numbers, address, authority: cloud.authority)
            #expect(results.count == numbers.count)
            for result in results {
                #expect(
                    result.verdict == .passed,
                    "\(ConformanceReport.line(result))\n\(ConformanceReport.details(result).joined(separator: "\n"))")
            }
        }
    }

    @Test("A listener that upgrades at any path, or takes any protocol over TLS, fails the cases about that")
    func wrongListeners() async throws {
        // Plain CoAP over TCP where WebSocket was promised; TLS that does not mind what is to be spoken over it.
        try await SecureListener.with(Self.transport(.tcp)) { cloud in
            let address = ServerAddress(.webSocket, host: "127.0.0.1", port: cloud.port)
            for result in try await Self.verdicts([88, 89], address, authority: cloud.authority) {
                guard case .failed = result.verdict else {
                    Issue.record("\(ConformanceReport.line(result))")
                    continue
                }
            }
        }
        try await SecureListener.with(Self.transport(.secureWebSocket)) { cloud in
            let address = ServerAddress(.tls, host: "127.0.0.1", port: cloud.port)
            for result in try await Self.verdicts([90], address, authority: cloud.authority) {
                guard case .failed = result.verdict else {
                    Issue.record("\(ConformanceReport.line(result))")
                    continue
                }
            }
        }
    }
}
