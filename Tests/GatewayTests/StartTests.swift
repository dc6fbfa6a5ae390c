import CBOR
import CoAP
import Foundation
import NIOCore
import NIOPosix
import ServiceShell
import TestServers
import TestSupport
import Testing

@testable import Gateway

@Suite("The beginning of a gateway, and its end under load", .timeLimit(.minutes(2)))
struct StartTests {
    @Test("A start that fails half-way gives back the ports and the store it had taken")
    func givesBack() async throws {
        let taken = try await ServerBootstrap(group: MultiThreadedEventLoopGroup.singleton)
            .bind(host: "127.0.0.1", port: 0).get()
        // Below the ports that the system gives to others.
        let port = Int.random(in: 20_000..<30_000)
        for variable in ["HTTP_PORT", "ADMIN_PORT"] {
            var settings = ["COAP_PORT": "\(port)"]
            settings[variable] = "\(taken.localAddress?.port ?? 0)"
            do {
                try await RunningGateway.with(settings) { _ in }
                Issue.record("it started on a port in use")
            } catch is BindError {}
        }
        try await RunningGateway.with(["COAP_PORT": "\(port)"]) { gateway in
            #expect(gateway.ports.coap == port)
        }
        try await taken.close()
    }

    @Test("SIGTERM while a device is asked: the request is answered first, then everybody is released")
    func answersFirst() async throws {
        let directory = "\(NSTemporaryDirectory())gateway-\(UUID().uuidString)"
        try FileManager.default.createDirectory(atPath: directory, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(atPath: directory) }
        let gateway = try await GatewayProcess.start(directory: directory)
        let http = HTTPTestClient(port: gateway.http)
        let user = try await http.post("/register/user", "{\"uid\": \"u\", \"authprovider\": \"github\"}")
        let userToken = try #require(user.member("accesstoken"))
        let mediator = try await http.post(
            "/provision/mediator", "{\"uid\": \"u\", \"accesstoken\": \"\(userToken)\"}")
        let code = try await http.post(
            "/provision/device", token: mediator.member("accesstoken"), "{\"di\": \"lamp\"}")
        let device = try await ScriptedPeer.connect(port: gateway.coap)
        let signUp = try await device.ask(.signUp(di: "lamp", code: code.member("accesstoken") ?? ""))
        let token = try #require(signUp.item?["accesstoken"]?.string)
        #expect(try await device.ask(.signIn(uid: "u", di: "lamp", accessToken: token)).code == .changed)

        async let answer = http.get("/lamp/light", token: userToken)
        let request = try await device.receiveRequest(.get, "light")
        gateway.process.signal(SIGTERM)
        // Nobody new is served from here on.
        while let late = try? await ScriptedPeer.connect(port: gateway.http) { await late.close() }
        try await device.expectSilence()
        try await device.answer(request, Response(.content, payload: ByteBuffer(string: "on")))
        #expect(try await answer.text == "on")
        #expect(try await device.receivePastCSM().code == .release)
        await device.close()
        #expect(await gateway.process.ended().status == 0)
    }
}
