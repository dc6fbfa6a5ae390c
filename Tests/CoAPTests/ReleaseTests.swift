import CoAP
import NIOCore
import Testing

/// An orderly end, asked for by either side (RFC 8323 §5.5).
struct ReleaseTests {
    static let oneAtATime = ConnectionConfiguration(keepalive: nil, maximumInFlight: 1)

    // MARK: The peer's

    @Test("RFC 8323 §5.5: a Release with nothing under way closes at once")
    func idle() {
        let conversation = Conversation()
        #expect(
            conversation.receive(.signal(.release, [(4, [7])]))
                == .released(holdOffSeconds: 7, unsent: [], closeNow: true))
        #expect(conversation.isClosed)
        #expect(conversation.nextDeadline == nil)
    }

    @Test("A peer that takes no notice of a Release goes on as before")
    func omitted() throws {
        let conversation = Conversation(ConnectionConfiguration(omissions: .release))
        #expect(conversation.receive(.signal(.release)) == .ignore(.omittedRelease))
        #expect(conversation.isOpen)
        try conversation.handled(.get("a"))
        try conversation.wrote()
    }

    @Test("C-24, BI-13: behind a Release the queue is given back, what is in flight ends, then we close")
    func underWay() throws {
        let conversation = Conversation(Self.oneAtATime)
        let outgoing = try conversation.wrote()
        let waiting = [try conversation.queued(), try conversation.queued()]
        let id = try conversation.handled(.get("a", token: [5])).id
        let release = Message.signal(.release, [(2, [UInt8]("elsewhere:5683".utf8))])
        #expect(
            conversation.receive(release) == .released(holdOffSeconds: nil, unsent: waiting, closeNow: false))
        #expect(!conversation.isOpen)
        #expect(try conversation.answered(id).map(\.token) == [Token([5])])
        let completion = try conversation.completed(by: .response(to: outgoing))
        #expect(completion.id == outgoing.id)
        #expect(completion.next.isEmpty)
        #expect(completion.end == .released(holdOffSeconds: nil))
        #expect(conversation.isClosed)
        #expect(conversation.close().isEmpty)
    }

    @Test("C-24: when our answer is the last thing, it is written before we close")
    func answerIsLast() throws {
        let conversation = Conversation()
        let id = try conversation.handled(.get("a", token: [5])).id
        _ = conversation.receive(.signal(.ping, token: [6], [(2, [])]))
        _ = conversation.receive(.signal(.release, [(4, [1])]))
        let expected = [Message(code: .content, token: Token([5])), .signal(.pong, token: [6], [(2, [])])]
        #expect(conversation.respond(id) == .writeThenClose(expected, .released(holdOffSeconds: 1)))
        #expect(conversation.isClosed)
    }

    @Test("RFC 7967 §2: an unwanted answer ends the wait as well")
    func unwantedAnswerIsLast() throws {
        let conversation = Conversation()
        let id = try conversation.handled(.get("a", adding: [(.noResponse, [2])])).id
        _ = conversation.receive(.signal(.release))
        #expect(conversation.respond(id) == .writeThenClose([], .released(holdOffSeconds: nil)))
    }

    @Test("BI-13: requests behind the peer's Release are told to reconnect, ours are refused")
    func afterwards() throws {
        let conversation = Conversation()
        let id = try conversation.handled(.get("a")).id
        _ = conversation.receive(.signal(.release))
        let reply = try conversation.replied(to: .get("b", token: [9]))
        #expect(reply.code == .serviceUnavailable)
        #expect(reply.token == Token([9]))
        #expect(reply.options.maxAge == 1)
        #expect(conversation.send() == .refuse(.closing))
        #expect(conversation.release() == nil)
        #expect(try conversation.replied(to: .signal(.ping, token: [3])).code == .pong)
        guard case .writeThenClose = conversation.respond(id) else {
            Issue.record("does not close")
            return
        }
    }

    @Test("BI-13: a second Release changes nothing, not even the time that is left")
    func second() throws {
        let conversation = Conversation()
        try conversation.handled(.get("a"))
        _ = conversation.receive(.signal(.release))
        conversation.pass(.seconds(3))
        guard case .ignore = conversation.receive(.signal(.release, [(4, [9])])) else {
            Issue.record("not ignored")
            return
        }
        #expect(conversation.nextDeadline == .seconds(2))
    }

    @Test("RFC 8323 §5.5: after the grace period we close, whatever is under way, and report it")
    func grace() throws {
        let conversation = Conversation()
        let outgoing = try conversation.wrote()
        conversation.written(outgoing.id)
        let id = try conversation.handled(.get("a")).id
        _ = conversation.receive(.signal(.release, [(4, [3])]))
        #expect(conversation.nextDeadline == .seconds(5))
        conversation.pass(.seconds(5))
        #expect(conversation.askWhatIsDue() == .close(.released(holdOffSeconds: 3)))
        #expect(conversation.close() == [outgoing.id: ExchangeError(.connectionLost, delivered: true)])
        #expect(conversation.respond(id) == .nothing)
    }

    @Test("RFC 8323 §5.5: when the last request of ours runs out of time, we close without further waiting")
    func expiryIsLast() throws {
        let conversation = Conversation()
        let outgoing = try conversation.wrote(within: .seconds(2))
        _ = conversation.receive(.signal(.release, [(4, [3])]))
        conversation.pass(.seconds(2))
        #expect(try conversation.expired().late.keys.elementsEqual([outgoing.id]))
        #expect(conversation.askWhatIsDue() == .close(.released(holdOffSeconds: 3)))
        #expect(conversation.isClosed)
    }

    // MARK: Ours

    @Test("C-25: our Release has an eight-byte token and says how long to stay away")
    func ours() throws {
        let conversation = Conversation()
        let action = try #require(conversation.release(holdOffSeconds: 30))
        #expect(action.message.token.count == 8)
        #expect(try Signal(action.message) == .release(alternativeAddresses: [], holdOffSeconds: 30))
        #expect(action.unsent.isEmpty)
        #expect(!conversation.isOpen)
        #expect(!conversation.isClosed)
        #expect(conversation.release() == nil)
    }

    @Test("C-25: behind our Release nothing new is sent, the queue is given back, what is in flight goes on")
    func oursUnderWay() throws {
        let conversation = Conversation(Self.oneAtATime)
        let outgoing = try conversation.wrote()
        let waiting = try conversation.queued()
        #expect(try #require(conversation.release()).unsent == [waiting])
        #expect(conversation.send() == .refuse(.closing))
        let id = try conversation.handled(.get("late", token: [4])).id
        #expect(try conversation.answered(id).count == 1)
        let completion = try conversation.completed(by: .response(to: outgoing))
        #expect(completion.next.isEmpty)
        #expect(completion.end == nil)
    }

    @Test("C-25: a peer that does not close in time is closed")
    func oursGrace() throws {
        let conversation = Conversation()
        let outgoing = try conversation.wrote()
        _ = conversation.release()
        #expect(conversation.nextDeadline == .seconds(5))
        conversation.pass(.seconds(5))
        #expect(conversation.askWhatIsDue() == .halfClose(.releaseUnheeded))
        #expect(conversation.close() == [outgoing.id: ExchangeError(.connectionLost, delivered: false)])
    }

    @Test("RFC 8323 §5.5: two Releases that cross end like the peer's")
    func crossing() throws {
        let conversation = Conversation()
        let outgoing = try conversation.wrote()
        _ = conversation.release()
        #expect(
            conversation.receive(.signal(.release, [(4, [2])]))
                == .released(holdOffSeconds: 2, unsent: [], closeNow: false))
        #expect(try conversation.completed(by: .response(to: outgoing)).end == .released(holdOffSeconds: 2))
    }
}
