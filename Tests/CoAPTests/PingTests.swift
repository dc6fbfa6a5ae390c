import CoAP
import NIOCore
import Testing

/// Ping and Pong, Custody (RFC 8323 §5.4).
struct PingTests {
    @Test(
        "C-21: a Ping is answered by a Pong with its token, an empty one too",
        arguments: [[], [7], [1, 2, 3, 4, 5, 6, 7, 8]])
    func pong(token: [UInt8]) throws {
        let pong = try Conversation().replied(to: .signal(.ping, token: token))
        #expect(pong == Message(code: .pong, token: Token(token)))
    }

    @Test("A peer that leaves Pongs out answers no Ping, and the rest as any other")
    func omittedPong() throws {
        let conversation = Conversation(ConnectionConfiguration(omissions: .pongs))
        #expect(conversation.receive(.signal(.ping, token: [7])) == .ignore(.omittedPing))
        #expect(conversation.receive(.signal(.ping, token: [7], [(2, [])])) == .ignore(.omittedPing))
        try conversation.handled(.get("a"))
    }

    @Test("C-23: a Ping as the very first message is answered")
    func first() throws {
        #expect(try Conversation().replied(to: .signal(.ping, token: [9])).code == .pong)
    }

    @Test("RFC 8323 §5.4: a Ping without Custody does not wait for slow requests")
    func doesNotWait() throws {
        let conversation = Conversation()
        try conversation.handled(.get("slow"))
        #expect(try conversation.replied(to: .signal(.ping, token: [2])) == .signal(.pong, token: [2]))
    }

    @Test("RFC 8323 §5.4.1: a Ping with Custody and nothing before it is answered at once, with Custody")
    func custodyAtOnce() throws {
        let conversation = Conversation()
        let pong = try conversation.replied(to: .signal(.ping, token: [2], [(2, [])]))
        #expect(pong == .signal(.pong, token: [2], [(2, [])]))
        let id = try conversation.handled(.get("a")).id
        _ = conversation.respond(id)
        #expect(try conversation.replied(to: .signal(.ping, [(2, [])])).code == .pong)
    }

    @Test("C-22, BI-12: a Ping with Custody is answered behind the requests before it, not behind later ones")
    func custodyWaits() throws {
        let conversation = Conversation()
        let slow = try conversation.handled(.get("slow", token: [1])).id
        let slower = try conversation.handled(.get("slower", token: [2])).id
        #expect(conversation.receive(.signal(.ping, token: [8], [(2, [])])) == .ignore(.heldPong))
        let later = try conversation.handled(.get("later", token: [3])).id
        #expect(conversation.receive(.signal(.ping, token: [9], [(2, [])])) == .ignore(.heldPong))
        #expect(try conversation.answered(slower).map(\.token) == [Token([2])])
        let messages = try conversation.answered(slow)
        #expect(messages.map(\.code) == [.content, .pong])
        #expect(messages.last == .signal(.pong, token: [8], [(2, [])]))
        #expect(try conversation.answered(later).map(\.token) == [Token([3]), Token([9])])
    }

    @Test("RFC 7967 §2: the Pong comes even where the request before it wanted no answer")
    func custodyBehindNoResponse() throws {
        let conversation = Conversation()
        let id = try conversation.handled(.get("a", adding: [(.noResponse, [26])])).id
        _ = conversation.receive(.signal(.ping, token: [8], [(2, [])]))
        #expect(try conversation.answered(id) == [.signal(.pong, token: [8], [(2, [])])])
    }

    @Test("BI-12: more waiting Pings with Custody than allowed abort the connection")
    func custodyBound() throws {
        let conversation = Conversation(ConnectionConfiguration(keepalive: nil, maximumHeldPongs: 3))
        try conversation.handled(.get("slow"))
        for _ in 0..<3 {
            #expect(conversation.receive(.signal(.ping, [(2, [])])) == .ignore(.heldPong))
        }
        let (abort, end) = try conversation.aborted(by: .signal(.ping, [(2, [])]))
        #expect(abort.code == .abort)
        #expect(end == .protocolError(abort.diagnostic))
    }

    @Test("BI-12: a Pong nobody waits for is ignored", arguments: [[], [1, 2, 3, 4, 5, 6, 7, 8]])
    func strayPong(token: [UInt8]) {
        let conversation = Conversation()
        #expect(conversation.receive(.signal(.pong, token: token)) == .ignore(.pong))
        #expect(conversation.isOpen)
    }

    @Test(
        "RFC 8323 §5.1: an unknown critical option in a signal other than CSM aborts without Bad-CSM-Option",
        arguments: [Code.ping, .pong, .release])
    func criticalOption(code: Code) throws {
        let (abort, _) = try Conversation().aborted(by: .signal(code, [(3, [])]))
        #expect(try Signal(abort) == .abort(badCSMOption: nil, diagnostic: abort.diagnostic))
        #expect(abort.diagnostic.contains(code.description))
    }

    @Test("BI-14: signals nobody has assigned are ignored", arguments: 6...31 as ClosedRange<UInt8>)
    func unknownSignal(detail: UInt8) {
        #expect(Conversation().receive(.signal(Code(7, detail))) == .ignore(.unknownSignal))
    }
}
