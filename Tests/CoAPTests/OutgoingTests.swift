import CoAP
import NIOCore
import Testing

/// Requests of ours: places, queue, deadlines, answers.
struct OutgoingTests {
    static let oneAtATime = ConnectionConfiguration(keepalive: nil, maximumInFlight: 1)

    // MARK: Tokens and answers

    @Test("RFC 8323 §3.3: a request travels under an eight-byte token, and its answer comes back to it")
    func exchange() throws {
        let conversation = Conversation()
        let request = Request(.post, path: ["light"], payload: ByteBuffer(string: "on"))
        let outgoing = try conversation.wrote(request)
        #expect(outgoing.message.token == Token(eightBytes: outgoing.id.rawValue))
        #expect(outgoing.message.code == .post)
        #expect(outgoing.message.options == request.options)
        #expect(outgoing.message.payload == request.payload)
        let completion = try conversation.completed(by: .response(.changed, to: outgoing, payload: "ok"))
        #expect(completion.id == outgoing.id)
        #expect(completion.result == .success(Response(.changed, payload: ByteBuffer(string: "ok"))))
        #expect(completion.end == nil)
        #expect(!conversation.hasWorkInFlight)
    }

    @Test("No token is used twice on a connection, wherever counting starts", arguments: [0, 5, .max - 3] as [UInt64])
    func uniqueTokens(seed: UInt64) throws {
        let conversation = Conversation(tokenSeed: seed)
        var tokens: Set<Token> = [try #require(conversation.csm).token]
        for round in 1...2000 {
            let outgoing = try conversation.wrote()
            #expect(tokens.insert(outgoing.message.token).inserted)
            if round.isMultiple(of: 2) {
                _ = try conversation.completed(by: .response(to: outgoing))
            } else {
                conversation.pass(.seconds(20))
                _ = try conversation.expired()
            }
        }
    }

    @Test("RFC 7252 §5.3.2: answers come back in any order")
    func order() throws {
        let conversation = Conversation()
        let outgoing = try (0..<16).map { _ in try conversation.wrote() }
        for one in outgoing.reversed() {
            #expect(try conversation.completed(by: .response(to: one)).id == one.id)
        }
    }

    @Test("C-13, BI-15: a response nobody waits for is dropped, and so is the second one for a token")
    func unmatched() throws {
        let conversation = Conversation()
        #expect(conversation.receive(Message(code: .content, token: Token([1]))) == .ignore(.unmatchedResponse))
        #expect(conversation.receive(Message(code: .content, token: .empty)) == .ignore(.unmatchedResponse))
        let outgoing = try conversation.wrote()
        let stranger = Token(eightBytes: outgoing.id.rawValue + 1)
        #expect(conversation.receive(Message(code: .content, token: stranger)) == .ignore(.unmatchedResponse))
        _ = try conversation.completed(by: .response(to: outgoing))
        #expect(conversation.receive(.response(to: outgoing)) == .ignore(.unmatchedResponse))
        #expect(conversation.isOpen)
    }

    @Test("RFC 7252 §5.3.2: a token of another length is another token")
    func paddedToken() throws {
        let conversation = Conversation(tokenSeed: 6)
        let outgoing = try conversation.wrote()
        #expect(outgoing.message.token == Token(eightBytes: 8))
        for token in [[8], [0, 8], [0, 0, 0, 0, 0, 0, 0, 0, 8]] as [[UInt8]] {
            #expect(conversation.receive(Message(code: .content, token: Token(token))) == .ignore(.unmatchedResponse))
        }
        _ = try conversation.completed(by: .response(to: outgoing))
    }

    @Test("C-14, BI-16: the peer may use the very token of a request of ours for its own; both complete")
    func bothDirections() throws {
        let conversation = Conversation()
        let outgoing = try conversation.wrote()
        let id = try conversation.handled(.get("b", token: outgoing.message.token.bytes)).id
        #expect(try conversation.answered(id).map(\.token) == [outgoing.message.token])
        #expect(try conversation.completed(by: .response(to: outgoing)).id == outgoing.id)
    }

    @Test("RFC 7252 §12.1.2: a message of unassigned class 3 is no answer", arguments: [0, 31] as [UInt8])
    func unassignedClass(detail: UInt8) throws {
        let conversation = Conversation()
        let outgoing = try conversation.wrote()
        #expect(conversation.receive(.response(Code(3, detail), to: outgoing)) == .ignore(.unassignedClass))
        #expect(try conversation.completed(by: .response(Code(2, 30), to: outgoing)).id == outgoing.id)
    }

    // MARK: Places and queue

    @Test("As many requests as allowed are in flight, the next ones wait in order")
    func queue() throws {
        let conversation = Conversation(ConnectionConfiguration(keepalive: nil, maximumInFlight: 2))
        let first = try conversation.wrote()
        let second = try conversation.wrote()
        let third = try conversation.queued(Request(.get, path: ["3"]))
        let fourth = try conversation.queued(Request(.get, path: ["4"]))
        let next = try conversation.completed(by: .response(to: second)).next
        #expect(next.map(\.id) == [third])
        #expect(next.first?.message.options.path == ["3"])
        #expect(try conversation.completed(by: .response(to: first)).next.map(\.id) == [fourth])
    }

    @Test("The queue is bounded in number")
    func queueCount() throws {
        let conversation = Conversation(
            ConnectionConfiguration(keepalive: nil, maximumInFlight: 1, maximumQueued: 3))
        let first = try conversation.wrote()
        for _ in 0..<3 {
            try conversation.queued()
        }
        #expect(conversation.send() == .refuse(.queueFull))
        _ = try conversation.completed(by: .response(to: first))
        try conversation.queued()
        #expect(conversation.send() == .refuse(.queueFull))
    }

    @Test("The queue is bounded in bytes, and what leaves it makes room")
    func queueBytes() throws {
        let request = Request(.post, path: ["a"], payload: ByteBuffer(repeating: 1, count: 500))
        let size = Message(code: .post, token: Token(eightBytes: 1), options: request.options, payload: request.payload)
            .frameLength
        let conversation = Conversation(
            ConnectionConfiguration(keepalive: nil, maximumInFlight: 1, maximumQueuedBytes: 2 * size))
        let first = try conversation.wrote(request)
        try conversation.queued(request)
        try conversation.queued(request, within: .seconds(1))
        #expect(conversation.send(Request(.get)) == .refuse(.queueFull))
        _ = try conversation.completed(by: .response(to: first))
        try conversation.queued(request)
        #expect(conversation.send(request) == .refuse(.queueFull))
        conversation.pass(.seconds(1))
        _ = try conversation.expired()
        try conversation.queued(request)
    }

    @Test("The queue can be withdrawn; what is in flight stays")
    func withdraw() throws {
        let conversation = Conversation(Self.oneAtATime)
        let first = try conversation.wrote()
        let waiting = [try conversation.queued(), try conversation.queued()]
        #expect(conversation.withdrawQueued() == waiting)
        #expect(conversation.withdrawQueued().isEmpty)
        #expect(try conversation.completed(by: .response(to: first)).next.isEmpty)
    }

    // MARK: Deadlines

    @Test("A request without any time left is refused", arguments: [0, -1] as [Int64])
    func noTime(seconds: Int64) {
        #expect(Conversation().send(within: .seconds(seconds)) == .refuse(.timedOut))
    }

    @Test(
        "A request that was given to the transport ends at its deadline, and may have been delivered, written or not",
        arguments: [true, false])
    func lateInFlight(isWritten: Bool) throws {
        let conversation = Conversation()
        let outgoing = try conversation.wrote(within: .seconds(2))
        if isWritten {
            conversation.written(outgoing.id)
        }
        #expect(conversation.nextDeadline == .seconds(2))
        conversation.pass(.milliseconds(1999))
        #expect(conversation.askWhatIsDue() == .wait(until: conversation.now + .milliseconds(1)))
        conversation.pass(.milliseconds(1))
        #expect(try conversation.expired().late == [outgoing.id: ExchangeError(.timedOut, delivered: true)])
        #expect(conversation.unwritten == (isWritten ? 0 : 1))
        #expect(conversation.askWhatIsDue() == .wait(until: nil))
    }

    @Test("C-71: a late answer is dropped, and its token is not given to anybody else")
    func lateAnswer() throws {
        let conversation = Conversation(Self.oneAtATime)
        let outgoing = try conversation.wrote(within: .seconds(2))
        conversation.pass(.seconds(2))
        _ = try conversation.expired()
        let other = try conversation.wrote()
        #expect(other.id != outgoing.id)
        #expect(conversation.receive(.response(to: outgoing)) == .ignore(.unmatchedResponse))
        #expect(try conversation.completed(by: .response(to: other)).id == other.id)
    }

    @Test("A request in the queue ends at its deadline, undelivered, and those behind it keep their turn")
    func lateInQueue() throws {
        let conversation = Conversation(Self.oneAtATime)
        let first = try conversation.wrote()
        let second = try conversation.queued(within: .seconds(1))
        let third = try conversation.queued()
        #expect(conversation.nextDeadline == .seconds(1))
        conversation.pass(.seconds(1))
        let (late, next) = try conversation.expired()
        #expect(late == [second: ExchangeError(.timedOut, delivered: false)])
        #expect(next.isEmpty)
        #expect(try conversation.completed(by: .response(to: first)).next.map(\.id) == [third])
    }

    @Test("A place that an expired request leaves is taken from the queue")
    func expiryMakesRoom() throws {
        let conversation = Conversation(Self.oneAtATime)
        let first = try conversation.wrote(within: .seconds(1))
        let second = try conversation.queued()
        conversation.pass(.seconds(1))
        let (late, next) = try conversation.expired()
        #expect(late.keys.elementsEqual([first.id]))
        #expect(next.map(\.id) == [second])
    }

    @Test("A request whose time ran out in the queue is never written, even before anybody looked")
    func neverWrittenLate() throws {
        let conversation = Conversation(Self.oneAtATime)
        let first = try conversation.wrote()
        let second = try conversation.queued(within: .seconds(1))
        let third = try conversation.queued()
        conversation.pass(.seconds(1))
        #expect(try conversation.completed(by: .response(to: first)).next.map(\.id) == [third])
        #expect(try conversation.expired().late.keys.elementsEqual([second]))
    }

    // MARK: Size and options

    @Test("RFC 8323 §5.3.1: a request larger than the peer takes is refused, one of exactly the size is written")
    func tooLarge() throws {
        let conversation = Conversation()
        func request(_ payload: Int) -> Request {
            Request(.post, payload: ByteBuffer(repeating: 1, count: payload))
        }
        // Two bytes of length, code, token, marker.
        let room = 1152 - 3 - 1 - 8 - 1
        #expect(try conversation.wrote(request(room)).message.frameLength == 1152)
        #expect(conversation.send(request(room + 1)) == .refuse(.tooLarge(size: 1153, maximum: 1152)))
    }

    @Test("RFC 7252 §3.1: a request with an option longer than the format can say is refused, not garbled")
    func optionTooLong() throws {
        let conversation = Conversation()
        _ = conversation.receive(.csm(maxMessageSize: 1 << 20))
        func request(_ length: Int) -> Request {
            Request(.get, path: [], queries: [String(repeating: "x", count: length)])
        }
        try conversation.wrote(request(65804))
        #expect(conversation.send(request(65805)) == .refuse(.tooLarge(size: 65805, maximum: 65804)))
    }

    @Test("Internal options of a request never reach a peer outside, and always one inside")
    func internalOptions() throws {
        var request = Request(.get, path: ["light"])
        request.options.deadlineMilliseconds = 500
        request.options.fence = Fence(epoch: 1, uid: "u")
        #expect(try Conversation().wrote(request).message.options.map(\.number) == [.uriPath])
        #expect(try Conversation(.internal).wrote(request).message.options == request.options)
    }

    @Test(
        "BI-20, C-73: an answer with a critical option that is unknown, long or repeated is of no use",
        arguments: [
            ([(65001, [])], 65001), ([(2049, [8])], 2049), ([(2053, [8, 0]), (2053, [8, 0])], 2053),
            ([(23, [0, 0, 0, 8])], 23), ([(65535, [])], 65535),
        ] as [([(UInt16, [UInt8])], UInt16)])
    func unusable(options: [(UInt16, [UInt8])], number: UInt16) throws {
        let conversation = Conversation()
        let outgoing = try conversation.wrote()
        let response = Message.response(to: outgoing, adding: options.map { (OptionNumber(rawValue: $0), $1) })
        let result = try conversation.completed(by: response).result
        let fault: OptionFault =
            number >= 65280
            ? .internal(OptionNumber(rawValue: number)) : .critical(OptionNumber(rawValue: number))
        #expect(result == .failure(ExchangeError(.unusableResponse(fault), delivered: true)))
        #expect(conversation.isOpen)
    }

    @Test("BI-20: unknown elective options of an answer stay, ill-formed ones are taken out")
    func elective() throws {
        let conversation = Conversation()
        let outgoing = try conversation.wrote()
        let response = Message.response(
            to: outgoing,
            adding: [
                (.contentFormat, [60]), (.contentFormat, [50]), (.eTag, []), (OptionNumber(rawValue: 65000), [1]),
            ])
        let options = try conversation.completed(by: response).result.get().options
        #expect(options.map(\.number.rawValue) == [12, 65000])
        #expect(options.contentFormat == .cbor)
    }

    @Test("An answer from inside keeps its internal options")
    func internalAnswer() throws {
        let conversation = Conversation(.internal)
        let outgoing = try conversation.wrote()
        let response = Message.response(.serviceUnavailable, to: outgoing, adding: [(.undelivered, [4])])
        #expect(try conversation.completed(by: response).result.get().options.undelivered == .queueFull)
    }
}
