import Certificates
import Cloud
import CoAP
import Foundation
import Logging
import NIOCore
import NIOPosix
import ServiceShell
import TestServers
import TestSupport
import Testing

@testable import Northbound

@Suite("HTTPS", .timeLimit(.minutes(2)))
struct HTTPSTests {
    private struct Bound {
        let port: Int
        let certificate: String
        let log: MemorySink
        let devices: FakeDevices
    }

    private static func run(_ body: @Sendable (Bound) async throws -> Void) async throws {
        let folder = FileManager.default.temporaryDirectory.appendingPathComponent("https-\(UUID().uuidString)").path
        try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
        // What is left behind is in the directory for temporary files.
        defer { try? FileManager.default.removeItem(atPath: folder) }
        let (certificate, key) = ("\(folder)/cert.pem", "\(folder)/key.pem")
        let made = try await Subprocess.run([
            "/usr/bin/openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
            "-keyout", key, "-out", certificate, "-days", "2", "-subj", "/CN=localhost",
            "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1",
        ])
        try #require(made.status == 0, "\(made.errors)")
        let registry = FakeRegistry()
        let devices = FakeDevices()
        registry.add(.user, "alice-user", uid: "alice")
        devices.connect("lamp", uid: "alice")
        devices.makeObservable()
        let log = MemorySink()
        let logger = Observability.logger(label: "northbound", level: .debug, sink: log)
        let configuration = NorthboundConfiguration(port: 0, securePort: 0)
        let responder = NorthboundResponder(
            configuration: configuration, registry: registry, devices: devices, presence: devices, sessions: devices,
            events: InMemoryEventLog(clock: SystemWallClock()), keys: InMemoryKeyedAnswerStore(),
            accessLog: AccessLog(mode: .all, logger: logger),
            logger: logger)
        let service = try await NorthboundService.bind(
            configuration, responder: responder,
            certificates: try ServerCertificates(
                files: .init(certificate: certificate, key: key), protocols: ["http/1.1"], logger: logger),
            group: .singletonMultiThreadedEventLoopGroup, logger: logger)
        let port = try #require(service.securePort)
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask { try await service.run() }
            defer { group.cancelAll() }
            try await body(Bound(port: port, certificate: certificate, log: log, devices: devices))
        }
    }

    private static func curl(_ bound: Bound, _ arguments: String...) async throws -> Subprocess.Ended {
        try await Subprocess.run(
            ["/usr/bin/curl", "-sS", "--max-time", "20", "--noproxy", "*", "--cacert", bound.certificate] + arguments)
    }

    @Test("RFC 9110 §4.2.2: curl is served over TLS 1.2 and 1.3, also if it offers HTTP/2")
    func served() async throws {
        try await Self.run { bound in
            for versions in [["--tlsv1.2", "--tls-max", "1.2"], ["--tlsv1.3"], ["--http2"]] {
                let ended = try await Subprocess.run(
                    ["/usr/bin/curl", "-sS", "--max-time", "20", "--noproxy", "*", "--cacert", bound.certificate]
                        + versions + ["https://localhost:\(bound.port)/errors", "-w", "%{http_version}"])
                #expect(ended.status == 0, "\(ended.errors)")
                #expect(ended.output.hasPrefix("# Errors"))
                #expect(ended.output.hasSuffix("1.1"))
            }
        }
    }

    @Test("An event stream goes over TLS event by event")
    func stream() async throws {
        try await Self.run { bound in
            let process = try Subprocess([
                "/usr/bin/curl", "-sSN", "--max-time", "60", "--noproxy", "*", "--cacert", bound.certificate,
                "-H", "Authorization: Bearer alice-user", "-H", "Accept: text/event-stream",
                "https://localhost:\(bound.port)/lamp/light",
            ])
            try await eventually("it observes") { bound.devices.observations == 1 }
            bound.devices.tell(.ended(.init(.notFound)))
            let ended = await process.ended()
            #expect(ended.output.contains("event: notification"))
            #expect(ended.output.contains("event: end"), "\(ended.output) \(ended.errors)")
        }
    }

    @Test("Plain HTTP on the port for HTTPS is told so, and one line says who did it")
    func plain() async throws {
        try await Self.run { bound in
            let answer = try await Peer.connect(bound.port) { try await $0.request("GET", "/errors") }
            #expect(answer.status == 400)
            #expect(answer.body.contains("https://"))
            let lines = bound.log.lines.filter { $0.contains("plain HTTP") }
            #expect(lines.count == 1)
            #expect(lines.first?.contains("HTTPS_PORT") == true)
        }
    }

    @Test("One line in ten seconds: who speaks plain HTTP there all the time does not fill the log")
    func rareLines() async throws {
        try await Self.run { bound in
            for _ in 0..<5 {
                let answer = try await Peer.connect(bound.port) { try await $0.request("GET", "/errors") }
                #expect(answer.status == 400)
            }
            #expect(bound.log.lines.count { $0.contains("plain HTTP") } == 1)
        }
    }

    @Test("A port in use is an error that names HTTPS_PORT, and the port for HTTP is given back")
    func portInUse() async throws {
        try await Self.run { bound in
            let logger = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }
            let files = ServerCertificates.Files(
                certificate: bound.certificate,
                key: bound.certificate.replacingOccurrences(of: "cert.pem", with: "key.pem"))
            let certificates = try ServerCertificates(files: files, logger: logger)
            let configuration = NorthboundConfiguration(port: 0, securePort: bound.port)
            let devices = FakeDevices()
            let responder = NorthboundResponder(
                configuration: configuration, registry: FakeRegistry(), devices: devices, presence: devices,
                sessions: devices, events: InMemoryEventLog(clock: SystemWallClock()),
                keys: InMemoryKeyedAnswerStore(), accessLog: AccessLog(mode: .all, logger: logger), logger: logger)
            let error = await #expect(throws: BindError.self) {
                try await NorthboundService.bind(
                    configuration, responder: responder, certificates: certificates,
                    group: .singletonMultiThreadedEventLoopGroup, logger: logger)
            }
            #expect(error?.variable == "HTTPS_PORT")
        }
    }
}
