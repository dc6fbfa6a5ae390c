import CBOR
import CoAP
import Gateway
import TestServers
import TestSupport
import Testing

@Suite("CoAP peers that others wrote, over TLS and WebSocket")
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
