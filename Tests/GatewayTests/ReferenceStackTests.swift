import CBOR
import CoAP
import Gateway
import TestServers
import TestSupport
import Testing

@Suite("The reference stack of OCF, as it behaves on the wire")
struct ReferenceStackTests {
    @Test("No CSM, six bytes first, indefinite CBOR, 150 links at once, a refresh per sign-in, loops after 4.01")
    func whims() async throws {
        try await Self.run { gateway in (gateway.coapPort, []) }
    }

    @Test("The same over TLS 1.2 with one suite and no ALPN: each message is read six bytes first")
    func whimsOverTLS() async throws {
        try await Self.run { gateway in
            (try #require(gateway.ports.more["coaps"]), ["--tls", "\(gateway.dataDirectory)/tls/ca.pem"])
        }
    }

    /// - Parameter door: where the device connects, and what it has to be told for that.
    private static func run(
        _ door: @Sendable (RunningGateway) throws -> (port: Int, arguments: [String])
    ) async throws {
        try await RunningGateway.with { gateway in
            let (port, arguments) = try door(gateway)
            let owner = try await gateway.owner("alice")
            let code = try await owner.deviceCode("reference-device")
            let phone = try await owner.client("phone")
            let device = try Subprocess(
                [
                    "/usr/bin/env", "python3", "\(Subprocess.root)/Tests/GatewayTests/Peers/reference_stack.py",
                    "\(port)", "reference-device", code,
                ] + arguments)
            try await device.waitFor("ready\n")
            #expect(device.outputSoFar.split(separator: "\n").map(String.init) == Self.story)
            try await phone.peer.send(Signal.csm(CSM(maxMessageSize: 65_536)).message(token: .unique()))
            // What it has published stays, and it is asked as any other.
            let links = try await phone.discover("di=reference-device")
            #expect(links.count == 50)
            let answer = try await phone.peer.ask(.ocf(.get, "reference-device/switches/120"))
            #expect(answer.code == .content)
            #expect(answer.item?["power"]?.integer == 7)
            await gateway.stop()
            await phone.peer.close()
            let ended = await device.ended()
            #expect(ended.status == 0, "\(ended.output) \(ended.errors)")
            #expect(ended.output.hasSuffix("served: 1 /switches/120\nreleased\n"))
        }
    }

    static let story =
        ["account: 2.04", "session: 2.04", "publish: 2.04", "numbers: 150"]
        + Array(repeating: "unpublish: 2.02", count: 4)
        + ["tokenrefresh: 2.04", "session: 2.04"]
        + Array(repeating: ["session: 4.01", "tokenrefresh: 2.04"], count: 3).flatMap { $0 }
        + ["session: 2.04", "ready"]
}
