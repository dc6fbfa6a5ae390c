import CoAP
import NIOCore
import Testing

/// The abrupt end (RFC 8323 §5.6), and what holds after any end.
struct AbortTests {
    @Test("C-26: an Abort of the peer closes without a word, and its diagnostic is kept")
    func peers() {
        let conversation = Conversation()
        #expect(
            conversation.receive(.signal(.abort, [(2, [9])], payload: "bad day"))
                == .close(.abortedByPeer(diagnostic: "bad day")))
        #expect(conversation.isClosed)
    }

    @Test("C-26: an Abort is never answered by an Abort, whatever options it has")
    func criticalOption() {
        #expect(
            Conversation().receive(.signal(.abort, [(9, [1])], payload: "x"))
                == .close(.abortedByPeer(diagnostic: "x")))
    }

    @Test("C-26: what waited is given back once, with how far it had come")
    func givenBack() throws {
        let conversation = Conversation(ConnectionConfiguration(keepalive: nil, maximumInFlight: 2))
        let delivered = try conversation.wrote()
        let unwritten = try conversation.wrote()
        let waiting = try conversation.queued()
        conversation.written(delivered.id)
        _ = conversation.receive(.signal(.abort))
        #expect(
            conversation.close() == [
                delivered.id: ExchangeError(.connectionLost, delivered: true),
                unwritten.id: ExchangeError(.connectionLost, delivered: false),
                waiting: ExchangeError(.connectionLost, delivered: false),
            ])
        #expect(conversation.close().isEmpty)
    }

    @Test("RFC 8323 §5.6: our Abort says why, once")
    func ours() throws {
        let conversation = Conversation()
        let abort = try #require(conversation.abort("superseded"))
        #expect(try Signal(abort) == .abort(badCSMOption: nil, diagnostic: "superseded"))
        #expect(abort.token.count == 8)
        #expect(conversation.isClosed)
        #expect(conversation.abort("again") == nil)
    }

    @Test("RFC 8323 §5.6: a format error is answered by an Abort that names it")
    func malformed() throws {
        let conversation = Conversation()
        let abort = conversation.malformed(.messageTooLarge(declared: 5_000_000_000, maximum: 262_144))
        #expect(abort.code == .abort)
        #expect(abort.diagnostic.contains("5000000000"))
        #expect(abort.diagnostic.contains("262144"))
        #expect(conversation.isClosed)
    }

    @Test("BI-10: an Abort to a peer that takes next to nothing leaves its reason out")
    func tinyPeer() throws {
        let conversation = Conversation()
        _ = conversation.receive(.csm(maxMessageSize: 30))
        let (abort, end) = try conversation.aborted(by: .signal(.capabilitiesAndSettings, [(9, [])]))
        #expect(try Signal(abort) == .abort(badCSMOption: 9, diagnostic: nil))
        #expect(end == .protocolError("unknown critical option 9 in 7.01"))
    }

    @Test("C-11: a reserved code that came by a transport without frames aborts", arguments: [Code(1, 0), Code(6, 0)])
    func reserved(code: Code) throws {
        let (abort, end) = try Conversation().aborted(by: Message(code: code, token: .empty))
        #expect(abort.code == .abort)
        #expect(end == .malformed(.reservedCodeClass(code)))
    }

    @Test("Behind the end nothing is taken, sent or due")
    func afterwards() throws {
        let conversation = Conversation(ConnectionConfiguration())
        let id = try conversation.handled(.get("a")).id
        _ = conversation.abort("")
        for message in [Message.get("b"), .empty, .signal(.ping), .csm(maxMessageSize: 1), .signal(.release)] {
            #expect(conversation.receive(message) == .ignore(.afterClose))
        }
        #expect(conversation.respond(id) == .nothing)
        #expect(conversation.send() == .refuse(.closing))
        #expect(conversation.release() == nil)
        #expect(conversation.ping() == nil)
        #expect(conversation.nextDeadline == nil)
        conversation.pass(.hours(1))
        #expect(conversation.askWhatIsDue() == .wait(until: nil))
    }

    @Test("Every format error has a sentence, and a word for metrics from a closed set")
    func words() {
        let errors: [DecodeError] = [
            .messageTooLarge(declared: 2, maximum: 1), .tokenLength(nibble: 9), .tokenTooLong(length: 9, maximum: 8),
            .reservedOptionNibble, .optionPastEnd, .optionNumberOverflow, .tooManyOptions(maximum: 1), .emptyPayload,
            .reservedCodeClass(Code(1, 0)), .lengthInWebSocket(nibble: 1),
        ]
        #expect(Set(errors.map(\.description)).count == errors.count)
        #expect(Set(errors.map(\.reason)).count == errors.count - 1)
        #expect(errors.map(\.reason).allSatisfy { $0.allSatisfy { $0.isLowercase || $0 == "-" } })
    }
}
