import CoAP
import NIOCore
import Testing

/// The first messages of a connection, and what the peer's CSMs change (RFC 8323 §5.3).
struct OpeningTests {
    // MARK: Our CSM

    @Test("C-16: our CSM comes first, with an eight-byte token, our message size and block-wise transfers")
    func ourCSM() throws {
        let csm = try #require(Conversation().csm)
        #expect(csm.code == .capabilitiesAndSettings)
        #expect(csm.token.count == 8)
        #expect(csm.frameLength > 6)
        #expect(try Signal(csm) == .csm(CSM(maxMessageSize: 256 * 1024, blockWiseTransfer: true)))
    }

    @Test("RFC 8974 §2.2.1: our CSM announces longer tokens only where they are taken")
    func extendedTokenLength() throws {
        let limits = FrameLimits(maximumTokenLength: 64)
        let csm = try #require(Conversation(ConnectionConfiguration(limits: limits)).csm)
        let expected = CSM(maxMessageSize: 256 * 1024, blockWiseTransfer: true, extendedTokenLength: 64)
        #expect(try Signal(csm) == .csm(expected))
    }

    @Test("A peer that leaves the CSM out opens with nothing, and sends requests as any other")
    func omittedCSM() throws {
        let conversation = Conversation(ConnectionConfiguration(omissions: .csm))
        #expect(conversation.csm == nil)
        try conversation.wrote()
    }

    @Test("RFC 8323 §5.3: requests are sent without waiting for the peer's CSM")
    func sendsAtOnce() throws {
        try Conversation().wrote()
        try Conversation(.strict).wrote()
    }

    @Test("C-16: every message of ours has an eight-byte token of its own, and is longer than six bytes")
    func tokens() throws {
        let conversation = Conversation(ConnectionConfiguration(keepalive: .init()))
        var messages = [try #require(conversation.csm)]
        messages += [try conversation.wrote(Request(.get)).message, try #require(conversation.ping())]
        conversation.pass(.seconds(60))
        _ = conversation.askWhatIsDue()
        messages.append(try conversation.pinged())
        messages.append(try #require(conversation.release()).message)
        messages.append(try #require(conversation.abort("")))
        #expect(messages.allSatisfy { $0.token.count == 8 && $0.frameLength > 6 })
        #expect(Set(messages.map(\.token)).count == messages.count)
    }

    // MARK: Lenient and strict

    @Test("C-17, BI-8: a peer that never sends a CSM is served")
    func lenient() throws {
        let conversation = Conversation()
        try conversation.handled(.get("oic", "sec", "account"))
        conversation.pass(.hours(1))
        #expect(conversation.askWhatIsDue() == .wait(until: nil))
        #expect(!conversation.peer.sentCSM)
    }

    @Test("BI-8: a CSM after 30 s counts as well")
    func lateCSM() throws {
        let conversation = Conversation()
        try conversation.handled(.get("a"))
        conversation.pass(.seconds(31))
        #expect(conversation.receive(.csm(maxMessageSize: 4096)) == .ignore(.csm))
        #expect(conversation.peer.maximumMessageSize == 4096)
    }

    @Test(
        "C-17, BI-8: in strict mode anything else than a CSM as first message aborts",
        arguments: [.get("a"), .empty, .signal(.ping), .signal(.abort), .signal(Code(7, 9))] as [Message])
    func strictFirst(message: Message) throws {
        let conversation = Conversation(.strict)
        let (abort, end) = try conversation.aborted(by: message)
        #expect(abort.code == .abort)
        #expect(abort.diagnostic.contains("RFC 8323 §5.3"))
        #expect(end == .protocolError(abort.diagnostic))
        #expect(conversation.isClosed)
    }

    @Test("RFC 8323 §5.3: in strict mode a connection that begins with a CSM goes on as usual")
    func strictThenUsual() throws {
        let conversation = Conversation(.strict)
        #expect(conversation.receive(.signal(.capabilitiesAndSettings)) == .ignore(.csm))
        try conversation.handled(.get("a"))
        conversation.pass(.hours(1))
        #expect(conversation.askWhatIsDue() == .wait(until: nil))
    }

    @Test("BI-8: in strict mode a peer that stays silent is aborted after 30 s")
    func strictSilence() {
        let conversation = Conversation(.strict)
        #expect(conversation.nextDeadline == .seconds(30))
        conversation.pass(.milliseconds(29_999))
        #expect(conversation.askWhatIsDue() == .wait(until: conversation.now + .milliseconds(1)))
        conversation.pass(.milliseconds(1))
        guard case .abort(let message, .protocolError) = conversation.askWhatIsDue() else {
            Issue.record("no Abort")
            return
        }
        #expect(message.code == .abort)
        #expect(conversation.isClosed)
        #expect(conversation.nextDeadline == nil)
    }

    // MARK: The peer's CSMs

    @Test("C-18: an unknown elective option in a CSM is ignored, and the rest counts")
    func electiveOption() {
        let conversation = Conversation()
        #expect(conversation.receive(.signal(.capabilitiesAndSettings, [(2, [16, 0]), (8, [1])])) == .ignore(.csm))
        #expect(conversation.peer.maximumMessageSize == 4096)
    }

    @Test("C-18, BI-9: an unknown critical option in a CSM aborts with Bad-CSM-Option")
    func criticalOption() throws {
        let conversation = Conversation()
        let (abort, end) = try conversation.aborted(by: .signal(.capabilitiesAndSettings, [(9, [1])]))
        #expect(try Signal(abort) == .abort(badCSMOption: 9, diagnostic: abort.diagnostic))
        #expect(abort.diagnostic.contains("9"))
        #expect(abort.token.count == 8)
        #expect(end == .protocolError(abort.diagnostic))
        #expect(conversation.isClosed)
        #expect(conversation.receive(.get("a")) == .ignore(.afterClose))
    }

    @Test(
        "BI-10: Max-Message-Size 0 is the base value, others are obeyed as they are",
        arguments: [
            (0, 1152), (1, 1), (63, 63), (64, 64), (1151, 1151), (1153, 1153), (UInt64(UInt32.max), Int(UInt32.max)),
        ] as [(UInt64, Int)])
    func maxMessageSize(announced: UInt64, maximum: Int) {
        let conversation = Conversation()
        #expect(conversation.receive(.csm(maxMessageSize: announced)) == .ignore(.csm))
        #expect(conversation.peer.maximumMessageSize == maximum)
    }

    @Test("RFC 8323 §5.3.1: before anything was said the peer takes 1152 bytes, or what it has sent itself")
    func baseMessageSize() throws {
        let conversation = Conversation()
        #expect(conversation.peer.maximumMessageSize == 1152)
        var large = Message.get("oic", "rd")
        large.payload = ByteBuffer(repeating: 1, count: 14_000)
        try conversation.handled(large)
        #expect(conversation.peer.maximumMessageSize == large.frameLength)
        #expect(conversation.receive(.signal(.capabilitiesAndSettings)) == .ignore(.csm))
        #expect(conversation.peer.maximumMessageSize == 1152)
    }

    @Test("C-20: later CSMs replace what they name and leave the rest")
    func cumulative() {
        let conversation = Conversation()
        _ = conversation.receive(.csm(maxMessageSize: 4096))
        _ = conversation.receive(.signal(.capabilitiesAndSettings, [(4, []), (6, [100])]))
        #expect(conversation.peer.maximumMessageSize == 4096)
        #expect(conversation.peer.blockWiseTransfer)
        #expect(conversation.peer.extendedTokenLength == 100)
        _ = conversation.receive(.signal(.capabilitiesAndSettings))
        _ = conversation.receive(.csm(maxMessageSize: 1152))
        #expect(conversation.peer.maximumMessageSize == 1152)
        #expect(conversation.peer.blockWiseTransfer)
        #expect(conversation.peer.extendedTokenLength == 100)
        _ = conversation.receive(.signal(.capabilitiesAndSettings, [(6, [2])]))
        #expect(conversation.peer.extendedTokenLength == 8)
    }

    @Test("BI-10: an answer that was under way when the size was lowered becomes a small 5.00")
    func loweredBelowAnswer() throws {
        let conversation = Conversation()
        _ = conversation.receive(.csm(maxMessageSize: 4096))
        let id = try conversation.handled(.get("a")).id
        _ = conversation.receive(.csm(maxMessageSize: 200))
        let response = Response(.content, payload: ByteBuffer(repeating: 1, count: 3000))
        let messages = try conversation.answered(id, response)
        #expect(messages.map(\.code) == [.internalServerError])
        #expect(messages.allSatisfy { $0.frameLength <= 200 })
    }

    @Test("BI-10: a queued request that no longer fits fails undelivered at once; the others go on")
    func loweredBelowQueue() throws {
        let conversation = Conversation(ConnectionConfiguration(keepalive: nil, maximumInFlight: 1))
        _ = conversation.receive(.csm(maxMessageSize: 4096))
        let large = Request(.post, path: ["a"], payload: ByteBuffer(repeating: 1, count: 3000))
        let first = try conversation.wrote(large)
        let second = try conversation.queued(large)
        let third = try conversation.queued()
        _ = conversation.receive(.csm(maxMessageSize: 200))
        #expect(try #require(conversation.nextDeadline) <= .zero)
        let (late, next) = try conversation.expired()
        #expect(late.keys.elementsEqual([second]))
        #expect(late[second]?.delivered == false)
        guard case .tooLarge(let size, 200) = late[second]?.failure else {
            Issue.record("\(late)")
            return
        }
        #expect(size > 3000)
        #expect(next.isEmpty)
        #expect(conversation.askWhatIsDue() == .wait(until: conversation.now + .seconds(20)))
        let completion = try conversation.completed(by: .response(to: first))
        #expect(completion.id == first.id)
        #expect(completion.next.map(\.id) == [third])
    }
}
