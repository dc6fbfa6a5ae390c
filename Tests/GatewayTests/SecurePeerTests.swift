import CBOR
import Certificates
import CoAP
import CoAPTransport
import FoundationEssentials
import Gateway
import Logging
import NIOCore
import NIOPosix
import NIOSSL
import TestServers
import TestSupport
import Testing

@Suite("CoAP peers that others wrote, over TLS and WebSocket", .timeLimit(.minutes(2)))
struct SecurePeerTests {
    private static let device = "0685b960-736f-46f7-bec0-9e6cbd61adc1"
    private static let other = "11111111-736f-46f7-bec0-9e6cbd61adc1"

    private static func libcoap(
        _ gateway: RunningGateway, _ certificates: PeerCertificates, as device: String? = nil
    ) throws -> LibcoapClient {
        let own = device.map { ["-c", certificates.certificate($0), "-j", certificates.key($0)] } ?? []
        let port = try #require(gateway.ports.more["coaps"])
        return LibcoapClient(
            program: "coap-client-openssl", base: "coaps+tcp://127.0.0.1:\(port)",
            tls: ["-R", certificates.authority] + own)
    }

    @Test("libcoap's client signs up and in over coaps+tcp, with a certificate that names the device and without one")
    func libcoap() async throws {
        try await PeerCertificates.with(devices: [Self.device]) { certificates in
            try await RunningGateway.with(certificates.settings("optional")) { gateway in
                let owner = try await gateway.owner("libcoap-user")
                let light = try await owner.device("a-light")
                for (di, shown) in [(Self.device, Self.device), ("no-certificate", nil)] as [(String, String?)] {
                    let client = try Self.libcoap(gateway, certificates, as: shown)
                    let code = try await owner.deviceCode(di)
                    let account = try await client.post(
                        "/oic/sec/account", ["di": .text(di), "accesstoken": .text(code)])
                    let login = try IssuedLogin(account, di: di, peer: light.peer)
                    let session = try await client.post(
                        "/oic/sec/session",
                        [
                            "di": .text(di), "uid": .text(login.uid), "accesstoken": .text(login.accessToken),
                            "login": true,
                        ])
                    #expect(session["expiresin"]?.integer != nil)
                }
            }
        }
    }

    @Test("libcoap's client that observes over coaps+tcp without a sign-in is refused, and told so")
    func libcoapObserver() async throws {
        try await PeerCertificates.with(devices: [Self.device]) { certificates in
            try await RunningGateway.with(certificates.settings("optional")) { gateway in
                let owner = try await gateway.owner("alice")
                _ = try await owner.device("lamp")
                let port = try #require(gateway.ports.more["coaps"])
                let own = ["-c", certificates.certificate(Self.device), "-j", certificates.key(Self.device)]
                for shown in [own, []] {
                    let ended = try await Subprocess.run(
                        [
                            "/usr/bin/coap-client-openssl", "-w", "-B", "20", "-s", "20", "-R",
                            certificates.authority,
                        ] + shown + ["coaps+tcp://127.0.0.1:\(port)/lamp/light"])
                    #expect((ended.output + ended.errors).contains("4.01"), "\(ended.output) \(ended.errors)")
                }
            }
        }
    }

    @Test("C-50: over mutual TLS another device's certificate gets 4.01, and the code is good afterwards")
    func otherDevice() async throws {
        try await PeerCertificates.with(devices: [Self.device, Self.other]) { certificates in
            try await RunningGateway.with(certificates.settings("required")) { gateway in
                let owner = try await gateway.owner("libcoap-user")
                let code = try await owner.deviceCode(Self.device)
                let signUp: DataItem = ["di": .text(Self.device), "accesstoken": .text(code)]
                for shown in [Self.other, nil] {
                    let client = try Self.libcoap(gateway, certificates, as: shown)
                    let error = try await #require(throws: PeerError.self) {
                        try await client.post("/oic/sec/account", signUp)
                    }
                    // Without a certificate there is no connection to be answered on.
                    #expect(error.description.contains("4.01") == (shown != nil), "\(error)")
                }
                let account = try await Self.libcoap(gateway, certificates, as: Self.device)
                    .post("/oic/sec/account", signUp)
                #expect(account["accesstoken"]?.string != nil)
            }
        }
    }

    @Test("BI-46: a device whose certificate is revoked is told so and closed while connected, and cannot come back")
    func revokedWhileConnected() async throws {
        let folder = FileManager.default.temporaryDirectory.path + "/authority-\(UUID().uuidString)"
        defer { try? FileManager.default.removeItem(atPath: folder) }
        let authority = try AuthorityFolder(creating: folder, name: "Authority for tests")
        let cloud = try authority.issue(.cloud("00000000-0000-4000-8000-000000000001", hosts: ["127.0.0.1"]), days: 1)
        let devices = try [Self.device, Self.other].map { try authority.issue(.device($0), days: 1) }
        try await RunningGateway.with([
            "TLS_CERTIFICATE": cloud.certificate, "TLS_CERTIFICATE_KEY": cloud.key,
            "TLS_CA_POOL": authority.certificateFile, "TLS_CLIENT_CERTIFICATES": "required",
            "TLS_CRL": authority.revocationsFile, "COAPS_PORT": "0",
        ]) { gateway in
            let port = try #require(gateway.ports.more["coaps"])
            let dialer = CoAPDialer(
                group: MultiThreadedEventLoopGroup.singleton,
                logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() })
            func connect(_ own: IssuedFiles) async throws -> CoAPConnection {
                var tls = TLSConfiguration.makeClientConfiguration()
                tls.trustRoots = .file(authority.certificateFile)
                tls.certificateChain = try NIOSSLCertificate.fromPEMFile(own.certificate).map { .certificate($0) }
                tls.privateKey = .privateKey(try NIOSSLPrivateKey(file: own.key, format: .pem))
                return try await dialer.connect(
                    host: "127.0.0.1", port: port, transport: .tls(NIOSSLContext(configuration: tls)),
                    timeout: .seconds(20), server: nil)
            }
            let connections = [try await connect(devices[0]), try await connect(devices[1])]
            for connection in connections {
                let answer = try await connection.send(Request(.get, path: ["oic", "res"]), timeout: .seconds(20))
                #expect(answer.code == .unauthorized)
            }
            _ = try authority.revoke(.device(Self.device))
            // The files are looked at every ten seconds.
            let end = await connections[0].ended
            #expect(end == .abortedByPeer(diagnostic: "the certificate of this peer was revoked"))
            let answer = try await connections[1].send(Request(.get, path: ["oic", "res"]), timeout: .seconds(20))
            #expect(answer.code == .unauthorized)
            // In TLS 1.3 the client is done before the server has looked.
            if let again = try? await connect(devices[0]) {
                await #expect(throws: ExchangeError.self) {
                    try await again.send(Request(.get, path: ["oic", "res"]), timeout: .seconds(20))
                }
            }
            await connections[1].close()
        }
    }

    @Test(
        "aiocoap signs up and in, publishes, discovers links to the port it dialled, and reads a device's resource",
        arguments: [("coaps", "coaps+tcp"), ("ws", "coap+ws"), ("wss", "coaps+ws")])
    func aiocoap(_ name: String, scheme: String) async throws {
        try await PeerCertificates.with(devices: [Self.device]) { certificates in
            try await RunningGateway.with(certificates.settings("optional")) { gateway in
                let owner = try await gateway.owner("aiocoap-user")
                let light = try await owner.device("a-light")
                _ = try await light.publish("/light")
                let code = try await owner.deviceCode(Self.device)
                let port = try #require(gateway.ports.more[name])
                let base = "\(scheme)://127.0.0.1:\(port)"
                async let served = light.peer.serveOnce(as: .json) { request in
                    #expect(request.options.path == ["light"])
                    return ["value": true]
                }
                let ended = try await Subprocess.run([
                    "\(Subprocess.root)/.build/peers/bin/python",
                    "\(Subprocess.root)/Tests/GatewayTests/Peers/aiocoap_peer.py",
                    base, Self.device, code, "a-light", certificates.authority,
                    certificates.certificate(Self.device), certificates.key(Self.device),
                ])
                try #require(ended.status == 0, "\(ended.errors)")
                try await served
                #expect(ended.output.contains("/a-light/light"))
                #expect(ended.output.contains("\"ep\": \"\(base)\""))
                #expect(ended.output.contains("\"read\": {\"value\": true}"))
            }
        }
    }
}
