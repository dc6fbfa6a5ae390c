import Foundation
import TestServers
import TestSupport
import Testing

@Suite("README.md")
struct ReadmeTests {
    @Test("The session, step by step, runs as it is written, and every answer has the form that is shown")
    func consoleSession() async throws {
        try await GatewayProcess.with { gateway in
            try await Readme.runSession(
                http: gateway.http, coap: gateway.coap,
                tls: (
                    try #require(gateway.ports["https"]), try #require(gateway.ports["coaps"]),
                    "\(gateway.directory)/data/tls/ca.pem"
                ))
        }
    }

    @Test("The script, with the tokens in shell variables, runs by itself: make demo")
    func demo() async throws {
        let ended = try await Subprocess.run(
            ["/bin/bash", "scripts/demo"], environment: ["PRODUCTS": Subprocess.products])
        try #require(ended.status == 0, "\(ended.output)\n\(ended.errors)")
        #expect(ended.output.contains("test response payload from device"))
        #expect(ended.output.contains("\"status\":\"online\""))
        #expect(ended.output.contains("/OCF-cloud-device-test-uuid/light"))
        // The grep that follows one request: northbound, and the device's session. The registry was asked about the
        // token by an earlier one.
        let followed = ended.output.split(separator: "\n").filter {
            $0.contains("request.id=my-request-1") && $0.contains(" info ")
        }
        #expect(followed.contains { $0.contains("northbound") })
        #expect(followed.contains { $0.contains("coap-interface") })
    }
}
