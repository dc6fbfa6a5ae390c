import CBOR
import Cloud
import CoAP
import CoAPTransport
import NIOCore
import TestSupport
import Testing

@testable import Hop

@Suite("Who is let in between our own programs", .timeLimit(.minutes(1)))
struct HopListenerTests {
    private static func prover(
        _ secrets: ClusterSecrets, to target: String = "pod-1.boot"
    ) -> InitiatorProof {
        InitiatorProof(
            secrets: secrets, me: HopPeer(name: "edge-9.boot", role: "northbound"), target: target,
            random: SystemRandomSource())
    }

    /// Answers of the wire as the machine wants them.
    private static func response(_ message: Message) -> Response {
        Response(message.code, options: message.options, payload: message.payload)
    }

    /// Proves itself over `peer`, and returns the two requests it needed.
    private static func prove(_ peer: ScriptedPeer, _ secrets: ClusterSecrets) async throws -> [Request] {
        var proof = Self.prover(secrets)
        let hello = proof.hello
        guard case .send(let second) = proof.received(Self.response(try await peer.ask(hello))) else {
            throw PeerError("not challenged")
        }
        guard case .proven = proof.received(Self.response(try await peer.ask(second))) else {
            throw PeerError("not accepted")
        }
        return [hello, second]
    }

    /// With time enough for a proof, however busy the machine: who is too slow is a test's own subject.
    private static var patient: HopLimits {
        var limits = HopLimits()
        limits.unprovenTimeout = .seconds(50)
        return limits
    }

    private static func with(
        limits: HopLimits = Self.patient, _ body: (HopServer) async throws -> Void
    ) async throws {
        let server = try await HopServer.bind(limits: limits) { request, answer in
            answer(Response(.content, options: request.options))
        }
        try await HopBench.with(server, try HopBench.pool()) { try await body(server) }
    }

    @Test("A peer that has proven itself is answered, and what it says with internal options is believed")
    func accepted() async throws {
        try await Self.with { server in
            let peer = try await server.peer()
            _ = try await Self.prove(peer, try .of(1))
            var request = Request.hop()
            request.options.fence = Fence(epoch: 7, uid: "user")
            let answer = try await peer.ask(request)
            #expect(answer.code == .content)
            #expect(answer.options.fence == Fence(epoch: 7, uid: "user"))
        }
    }

    @Test("A request before the proof gets 4.01 and an Abort, and no responder sees it or its internal options")
    func beforeProof() async throws {
        try await Self.with { server in
            let peer = try await server.peer()
            var request = Request.hop(milliseconds: 1000)
            request.options.fence = Fence(uid: "user")
            try await peer.start(request)
            let messages = try await peer.receiveUntilClose()
            #expect(messages.map(\.code) == [.unauthorized, .abort])
            #expect(server.asked == 0)
        }
    }

    @Test("A request that follows the first half of a proof in the same segment is not let in either")
    func glued() async throws {
        try await Self.with { server in
            let peer = try await server.peer()
            let hello = Self.prover(try .of(1)).hello
            try await peer.send(
                Message(code: hello.method, token: .unique(), options: hello.options, payload: hello.payload),
                Message(code: .get, token: .unique(), options: Request.hop().options))
            #expect(try await peer.receiveUntilClose().last?.code == .abort)
            #expect(server.asked == 0)
        }
    }

    @Test("A proof recorded on another connection is refused, however good it was there")
    func replayed() async throws {
        try await Self.with { server in
            let recorded = try await Self.prove(try await server.peer(), try .of(1))
            let peer = try await server.peer()
            #expect(try await peer.ask(recorded[0]).code == .changed)
            try await peer.start(recorded[1])
            #expect(try await peer.receiveUntilClose().map(\.code) == [.unauthorized, .abort])
            // The second half alone is worth nothing either.
            let other = try await server.peer()
            try await other.start(recorded[1])
            #expect(try await other.receiveUntilClose().map(\.code) == [.unauthorized, .abort])
        }
    }

    @Test("A proof recorded at one pod is refused by another with the same secret")
    func otherPod() async throws {
        try await Self.with { server in
            let recorded = try await Self.prove(try await server.peer(), try .of(1))
            let second = try await HopServer.bind(name: "pod-2.boot")
            let peer = try await second.peer()
            try await peer.start(recorded[0])
            #expect(try await peer.receiveUntilClose().map(\.code) == [.notFound, .abort])
            await second.listener.stop()
        }
    }

    @Test("A peer with an unknown secret is refused, and one without any has nothing to say")
    func unknownSecret() async throws {
        try await Self.with { server in
            let peer = try await server.peer()
            let hello = Self.prover(try .of(1)).hello
            #expect(try await peer.ask(hello).code == .changed)
            let made = DataItem.bytes([UInt8](repeating: 3, count: ClusterSecret.proofBytes))
            try await peer.start(HopProofWire.request(.map(["v": 1, "mac": made])))
            #expect(try await peer.receiveUntilClose().map(\.code) == [.unauthorized, .abort])
            let pool = try HopBench.pool(secrets: try .of(9))
            let answer = await pool.send(.hop(), to: server.target())
            #expect(answer.options.undelivered == .unreachable)
            #expect(answer.diagnostic?.contains("CLUSTER_SECRET") == true)
            pool.shutDown()
            #expect(server.asked == 0)
        }
    }

    @Test("Garbage, and a message that is too large before the proof, end the connection and nothing else")
    func garbage() async throws {
        try await Self.with { server in
            for bytes: [UInt8] in [
                Array("GET / HTTP/1.1\r\nHost: x\r\n\r\n".utf8), [0x16, 3, 1, 2, 0, 1, 0, 1, 0xFC, 3, 3],
                [UInt8](repeating: 0xFF, count: 100), [0xE0, 0x40, 0, 2],
            ] {
                let peer = try await server.peer()
                try await peer.send(bytes: bytes)
                _ = try await peer.receiveUntilClose()
            }
            _ = try await Self.prove(try await server.peer(), try .of(1))
            #expect(server.asked == 0)
        }
    }

    @Test("A critical option that nobody knows ends a connection without proof")
    func critical() async throws {
        try await Self.with { server in
            let peer = try await server.peer()
            var request = Self.prover(try .of(1)).hello
            request.options.append(OptionNumber(rawValue: 63001), uint: 1)
            try await peer.start(request)
            #expect(try await peer.receiveUntilClose().map(\.code) == [.badOption, .abort])
        }
    }

    @Test("Who does not prove itself in time is closed; who has proven itself may be silent")
    func tooSlow() async throws {
        var limits = HopLimits()
        limits.unprovenTimeout = .seconds(3)
        try await Self.with(limits: limits) { server in
            let proven = try await server.peer()
            _ = try await Self.prove(proven, try .of(1))
            let silent = try await server.peer()
            try await silent.receiveAbort()
            try await proven.expectSilence()
        }
    }

    @Test("Connections without proof have a bound of their own, which the proven ones do not count against")
    func flood() async throws {
        var limits = Self.patient
        limits.maximumUnproven = 4
        try await Self.with(limits: limits) { server in
            var proven: [ScriptedPeer] = []
            for _ in 0..<8 {
                let peer = try await server.peer()
                _ = try await Self.prove(peer, try .of(1))
                proven.append(peer)
            }
            var held: [ScriptedPeer] = []
            for _ in 0..<4 {
                let peer = try await server.peer()
                // Our CSM leaves before the connection is counted, the answer to a Ping after that.
                try await peer.expectSilence()
                held.append(peer)
            }
            for _ in 0..<50 {
                let peer = try await ScriptedPeer.connect(port: server.listener.port)
                _ = try await peer.receiveUntilClose()
            }
            for peer in proven { #expect(try await peer.ask(.hop()).code == .content) }
            // A place that becomes free is taken again.
            await held[0].close()
            try await eventually("a place") {
                guard let peer = try? await server.peer() else { return false }
                return (try? await Self.prove(peer, .of(1))) != nil
            }
            for peer in held { await peer.close() }
        }
    }

    @Test("Above the window requests get queue-full at once, and the connection is read on")
    func window() async throws {
        var limits = Self.patient
        limits.window = HopWindow(requests: 3, bytes: 5000)
        let server = try await HopServer.bind(limits: limits)
        try await HopBench.with(server, try HopBench.pool()) {
            let peer = try await server.peer()
            _ = try await Self.prove(peer, try .of(1))
            for _ in 0..<3 { try await peer.start(.hop()) }
            var held: [HopServer.Asked] = []
            for _ in 0..<3 { held.append(try await server.next()) }
            let refused = try await peer.ask(.hop())
            #expect(refused.code == .serviceUnavailable)
            #expect(refused.options.undelivered == .queueFull)
            for asked in held {
                asked.answer(Response(.content))
                #expect(try await peer.receive().code == .content)
            }
            // The bytes count as well.
            try await peer.start(.hop(.post, bytes: 4000))
            let large = try await server.next()
            #expect(try await peer.ask(.hop(.post, bytes: 1000)).options.undelivered == .queueFull)
            large.answer(Response(.changed))
            #expect(try await peer.receive().code == .changed)
            // Answering twice changes nothing.
            large.answer(Response(.changed))
            try await peer.expectSilence()
        }
    }

    @Test("What has no time left when it arrives is late, and is not acted on")
    func late() async throws {
        try await Self.with { server in
            let peer = try await server.peer()
            _ = try await Self.prove(peer, try .of(1))
            let answer = try await peer.ask(.hop(milliseconds: 0))
            #expect(answer.code == .gatewayTimeout)
            #expect(answer.options.undelivered == .late)
            #expect(server.asked == 0)
        }
    }
}
