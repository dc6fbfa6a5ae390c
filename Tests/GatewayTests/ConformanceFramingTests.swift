import CoAP
import NIOCore
import TestSupport
import Testing

@Suite("Framing on a real socket, conformance ideas 1–15")
struct ConformanceFramingTests {
    @Test("C-1: a frame that arrives one byte a segment is handled once")
    func drip() async throws {
        try await RunningGateway.with { gateway in
            let peer = try await gateway.connect()
            var frame = ByteBuffer()
            Message(code: .get, token: Token([7]), options: Request(.get, path: ["oic", "res"]).options)
                .writeFrame(into: &frame)
            for byte in frame.readableBytesView {
                try await peer.send(bytes: [byte])
            }
            let answer = try await peer.receivePastCSM()
            #expect(answer.code == .unauthorized)
            #expect(answer.token == Token([7]))
            try await peer.expectSilence()
        }
    }
}
