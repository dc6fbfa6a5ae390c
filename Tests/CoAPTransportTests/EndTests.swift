import CoAP
import CoAPTransport
import NIOCore
import TestSupport
import Testing

@Suite("How connections on real sockets end", .timeLimit(.minutes(1)))
struct EndTests {
    @Test("RFC 8323 §5.6: the Abort arrives before the close, however much the peer was still sending")
    func abortBeforeClose() async throws {
        try await ListenerBench.with(handling: { connection, _, _ in connection.abort("enough") }) { bench in
            for _ in 0..<20 {
                let (peer, _) = try await bench.pair()
                // What lies unread behind the request would make the system reset the connection.
                var bytes = ByteBuffer()
                Message(code: .get, token: .unique()).writeFrame(into: &bytes)
                bytes.writeRepeatingByte(0, count: 200_000)
                try? await peer.send(bytes: Array(bytes.readableBytesView))
                let abort = try await peer.receiveAbort()
                #expect(abort.text == "enough")
                #expect(abort.token.count == 8)
                #expect(try await bench.end() == .closedByUs("enough"))
            }
        }
    }

    @Test("A peer that does not close after an Abort is closed when the linger time is over")
    func linger() async throws {
        let limits = TransportLimits(abortLinger: .milliseconds(100))
        try await ListenerBench.with(limits: limits) { bench in
            let (peer, connection) = try await bench.pair(staysHalfOpen: true)
            connection.abort("go")
            #expect(try await peer.receivePastCSM().code == .abort)
            #expect(try await bench.end() == .closedByUs("go"))
        }
    }

    @Test("A malformed message is told, and the reason of the end says which")
    func malformed() async throws {
        try await ListenerBench.with { bench in
            let (peer, _) = try await bench.pair()
            try await peer.send(bytes: [0x0F, 0x01])
            try await peer.receiveAbort()
            #expect(try await bench.end() == .malformed(.tokenLength(nibble: 15)))
        }
    }

    @Test("RFC 8323 §5.6: after the peer's Abort the connection is closed without a word")
    func abortedByPeer() async throws {
        try await ListenerBench.with { bench in
            let (peer, connection) = try await bench.pair()
            let outcomes = Outcomes()
            outcomes.send(0, on: connection)
            _ = try await peer.receivePastCSM()
            try await peer.send(Message(code: .abort, token: .unique(), payload: ByteBuffer(string: "bye")))
            try await peer.receiveClose()
            #expect(try await bench.end() == .abortedByPeer(diagnostic: "bye"))
            #expect(outcomes.errors == [ExchangeError(.connectionLost, delivered: true)])
        }
    }

    @Test(
        "RFC 8323 §5.5: a peer that does not close after our Release is half-closed, then closed, when the grace time is over"
    )
    func releaseGrace() async throws {
        try await ListenerBench.with(ConnectionConfiguration(releaseGrace: .milliseconds(500))) { bench in
            let (peer, connection) = try await bench.pair()
            connection.release(holdOffSeconds: 3)
            let release = try await peer.receivePastCSM()
            #expect(release.code == .release)
            #expect(release.options.first(OptionNumber(rawValue: 4))?.uint == 3)
            let outcomes = Outcomes()
            outcomes.send(0, on: connection)
            await outcomes.wait(for: 1)
            #expect(outcomes.errors == [ExchangeError(.closing, delivered: false)])
            try await peer.receiveClose()
            #expect(try await bench.end() == .releaseUnheeded)
        }
    }

    @Test("RFC 8323 §5.5: after the peer's Release its requests are answered first, then comes the end")
    func releasedByPeer() async throws {
        try await ListenerBench.with { bench in
            let (peer, connection) = try await bench.pair()
            let token = Token.unique()
            try await peer.start(Request(.get, path: ["x"]), token: token)
            let id = try await bench.next("request") { if case .received(_, let id) = $0 { id } else { nil } }
            var release = Message(code: .release, token: .unique())
            release.options.append(OptionNumber(rawValue: 4), uint: 9)
            try await peer.send(release)
            _ = try await bench.next("release") { if case .released = $0 { true } else { nil } }
            connection.respond(to: id, with: Response(.content))
            #expect(try await peer.receivePastCSM().token == token)
            try await peer.receiveClose()
            #expect(try await bench.end() == .released(holdOffSeconds: 9))
        }
    }

    // MARK: Requests of ours

    @Test("A late answer is dropped and counted, and reaches no other request")
    func lateAnswer() async throws {
        try await ListenerBench.with { bench in
            let (peer, connection) = try await bench.pair()
            let outcomes = Outcomes()
            outcomes.send(0, on: connection, timeout: .milliseconds(900))
            let slow = try await peer.receivePastCSM()
            await outcomes.wait(for: 1)
            #expect(outcomes.errors == [ExchangeError(.timedOut, delivered: true)])
            outcomes.send(1, on: connection)
            let fast = try await peer.receive()
            #expect(fast.token != slow.token)
            try await peer.answer(slow, Response(.content, payload: ByteBuffer(string: "late")))
            let ignored = try await bench.next("ignored") { if case .ignored(let what) = $0 { what } else { nil } }
            #expect(ignored == .unmatchedResponse)
            try await peer.answer(fast, Response(.content, payload: ByteBuffer(string: "in time")))
            await outcomes.wait(for: 1)
            #expect(outcomes.all[1]?.count == 1)
            #expect(try outcomes.all[1]?.first?.get().payload == ByteBuffer(string: "in time"))
            #expect(outcomes.all[0]?.count == 1)
        }
    }

    enum End: CaseIterable {
        case peerCloses, peerAborts, weAbort, weClose, malformed, peerReleases
    }

    @Test(
        "Requests under way when the connection ends, ends each exactly once and as far as it had come",
        arguments: End.allCases)
    func exactlyOnce(end: End) async throws {
        try await ListenerBench.with(ConnectionConfiguration(releaseGrace: .milliseconds(500))) { bench in
            let (peer, connection) = try await bench.pair()
            let outcomes = Outcomes()
            for index in 0..<40 { outcomes.send(index, on: connection) }
            for _ in 0..<16 { #expect(try await peer.receivePastCSM().code == .get) }
            switch end {
            case .peerCloses: await peer.close()
            case .peerAborts: try await peer.send(Message(code: .abort, token: .unique()))
            case .weAbort: connection.abort("enough")
            case .weClose: connection.close(reason: "enough")
            case .malformed: try await peer.send(bytes: [0x0F, 0x01])
            case .peerReleases: try await peer.send(Message(code: .release, token: .unique()))
            }
            await outcomes.wait(for: 40)
            _ = try await bench.end()
            // One that comes too late is refused, and does not get lost either.
            outcomes.send(99, on: connection)
            await outcomes.wait(for: 1)
            #expect(outcomes.all.count == 41)
            #expect(outcomes.all.values.allSatisfy { $0.count == 1 })
            #expect(outcomes.errors.filter(\.delivered).count == 16)
            #expect(outcomes.errors.count == 41)
        }
    }

    @Test("What the kernel has not taken of a request when we give up never goes out, so it can go elsewhere")
    func abortHoldsBack() async throws {
        try await ListenerBench.with { bench in
            let (peer, connection) = try await bench.pair()
            var csm = Message(code: .capabilitiesAndSettings, token: .unique())
            csm.options.append(OptionNumber(rawValue: 2), uint: 16 << 20)
            try await peer.send(csm)
            _ = try await bench.next("CSM") { if case .ignored(.csm) = $0 { true } else { nil } }
            try await peer.setReading(false)
            let outcomes = Outcomes()
            // More than both ends of a connection keep in the kernel.
            let large = Request(.post, path: ["light"], payload: ByteBuffer(repeating: 7, count: 15 << 20))
            outcomes.send(0, on: connection, timeout: .seconds(2), large)
            await outcomes.wait(for: 1)
            // Its bytes are still there: as long as the connection is, nobody can keep them back.
            #expect(outcomes.errors == [ExchangeError(.timedOut, delivered: true)])
            outcomes.send(1, on: connection, Request(.post, path: ["light"]))
            connection.abort("superseded")
            await outcomes.wait(for: 1)
            #expect(outcomes.all[1] == [.failure(ExchangeError(.connectionLost, delivered: false))])
            _ = try await bench.end()
            try await peer.setReading(true)
            let heard = try await peer.receiveUntilClose()
            #expect(heard.allSatisfy { $0.code == .capabilitiesAndSettings }, "\(heard.map(\.code))")
        }
    }

    @Test("More requests than may wait are refused at once")
    func queueFull() async throws {
        try await ListenerBench.with(
            ConnectionConfiguration(maximumInFlight: 2, maximumQueued: 3)
        ) { bench in
            let (peer, connection) = try await bench.pair()
            let outcomes = Outcomes()
            for index in 0..<6 { outcomes.send(index, on: connection) }
            await outcomes.wait(for: 1)
            #expect(outcomes.all[5]?.count == 1)
            #expect(outcomes.errors == [ExchangeError(.queueFull, delivered: false)])
            for _ in 0..<5 {
                try await peer.answer(try await peer.receivePastCSM(), Response(.changed))
            }
            await outcomes.wait(for: 5)
            #expect(outcomes.errors.count == 1)
        }
    }
}
