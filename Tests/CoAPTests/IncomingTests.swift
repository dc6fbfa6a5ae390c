import CoAP
import NIOCore
import Testing

/// Requests of the peer: each is answered once, under its token, in a form it can take.
struct IncomingTests {
    @Test(
        "RFC 8323 §3.3: the answer has the token of the request, an empty one too",
        arguments: [[], [0], [1, 2, 3], [9, 9, 9, 9, 9, 9, 9, 9]])
    func token(token: [UInt8]) throws {
        let conversation = Conversation()
        let id = try conversation.handled(.get("a", token: token)).id
        let messages = try conversation.answered(id, Response(.changed, payload: ByteBuffer(string: "x")))
        #expect(messages == [Message(code: .changed, token: Token(token), payload: ByteBuffer(string: "x"))])
    }

    @Test("A request is answered once; a second answer is nothing, and so is one to nobody")
    func once() throws {
        let conversation = Conversation()
        let id = try conversation.handled(.get("a")).id
        #expect(try conversation.answered(id).count == 1)
        #expect(conversation.respond(id) == .nothing)
        #expect(conversation.respond(IncomingID(rawValue: 99)) == .nothing)
    }

    @Test("BI-16: two requests of the peer under one token are both answered")
    func sameToken() throws {
        let conversation = Conversation()
        let first = try conversation.handled(.get("a", token: [])).id
        let second = try conversation.handled(.get("b", token: [])).id
        #expect(first < second)
        #expect(try conversation.answered(second, Response(.changed)) == [Message(code: .changed, token: .empty)])
        #expect(try conversation.answered(first, Response(.content)) == [Message(code: .content, token: .empty)])
    }

    @Test("C-6: a long token that was announced is answered in full")
    func longToken() throws {
        let conversation = Conversation(
            ConnectionConfiguration(limits: FrameLimits(maximumTokenLength: 64), keepalive: nil))
        let token = [UInt8](repeating: 3, count: 64)
        let id = try conversation.handled(.get("a", token: token)).id
        #expect(try conversation.answered(id).map(\.token.bytes) == [token])
    }

    @Test("C-12: an Empty message between two requests changes nothing")
    func empty() throws {
        let conversation = Conversation()
        let first = try conversation.handled(.get("a")).id
        #expect(conversation.receive(.empty) == .ignore(.empty))
        #expect(
            conversation.receive(Message(code: .empty, token: Token([1]), payload: ByteBuffer(string: "x")))
                == .ignore(.empty))
        let second = try conversation.handled(.get("b")).id
        #expect(try conversation.answered(first).count == 1)
        #expect(try conversation.answered(second).count == 1)
    }

    @Test("RFC 7252 §5.8: an unknown method is handed on, to be answered", arguments: [8, 31] as [UInt8])
    func unknownMethod(detail: UInt8) throws {
        let (_, request) = try Conversation().handled(Message(code: Code(0, detail), token: .empty))
        #expect(request.method == Code(0, detail))
    }

    @Test("More requests than may wait are told to come back, and a place that is free again is used")
    func bound() throws {
        let conversation = Conversation(ConnectionConfiguration(keepalive: nil, maximumIncoming: 2))
        let first = try conversation.handled(.get("a")).id
        try conversation.handled(.get("b"))
        let reply = try conversation.replied(to: .get("c", token: [7]))
        #expect(reply.code == .serviceUnavailable)
        #expect(reply.options.maxAge == 1)
        #expect(reply.token == Token([7]))
        _ = conversation.respond(first)
        try conversation.handled(.get("d"))
    }

    // MARK: No-Response

    @Test(
        "RFC 7967 §2.1: classes the peer does not want are not answered, others are",
        arguments: [
            (0, []), (2, [2]), (8, [4]), (16, [5]), (10, [2, 4]), (18, [2, 5]), (24, [4, 5]), (26, [2, 4, 5]),
            (1, []), (4, []), (255, [2, 4, 5]),
        ] as [(UInt8, [UInt8])])
    func noResponse(bits: UInt8, unwanted: [UInt8]) throws {
        for codeClass in [2, 4, 5] as [UInt8] {
            let conversation = Conversation()
            let id = try conversation.handled(.get("a", adding: [(.noResponse, [bits])])).id
            let isAnswered = conversation.respond(id, Response(Code(codeClass, 4))) != .nothing
            #expect(isAnswered == !unwanted.contains(codeClass), "\(codeClass).04")
            #expect(!conversation.hasWorkInFlight)
        }
    }

    @Test("RFC 7967 §2.1: refusals the peer does not want are not sent either")
    func noRefusal() throws {
        let unwanted = Conversation().receive(.get("..", adding: [(.noResponse, [8])]))
        #expect(unwanted == .ignore(.suppressedReply))
        #expect(try Conversation().replied(to: .get("..", adding: [(.noResponse, [2])])).code == .badRequest)
    }

    @Test("RFC 7252 §5.4.3: a No-Response of two bytes counts as not sent")
    func longNoResponse() throws {
        let conversation = Conversation()
        let id = try conversation.handled(.get("a", adding: [(.noResponse, [0, 26])])).id
        #expect(try conversation.answered(id).count == 1)
        #expect(try conversation.replied(to: .get("..", adding: [(.noResponse, [0, 26])])).code == .badRequest)
    }

    // MARK: Size

    @Test("C-19: an answer larger than the peer takes becomes a small 5.00, one of exactly the size is sent")
    func tooLarge() throws {
        let conversation = Conversation()
        _ = conversation.receive(.csm(maxMessageSize: 1152))
        // Two bytes of length, code, token of one byte, marker.
        let room = 1152 - 3 - 1 - 1 - 1
        let fits = try conversation.handled(.get("a")).id
        let large = try conversation.handled(.get("a")).id
        let exact = try conversation.answered(fits, Response(.content, payload: ByteBuffer(repeating: 1, count: room)))
        #expect(exact.map(\.frameLength) == [1152])
        #expect(exact.map(\.code) == [.content])
        let small = try conversation.answered(
            large, Response(.content, payload: ByteBuffer(repeating: 1, count: room + 1)))
        #expect(small.map(\.code) == [.internalServerError])
        #expect(small.allSatisfy { $0.frameLength < 200 && $0.diagnostic.contains("1153") })
    }

    @Test("BI-10: a peer that takes next to nothing gets a 5.00 without payload", arguments: [1, 63] as [UInt64])
    func tiny(size: UInt64) throws {
        let conversation = Conversation()
        _ = conversation.receive(.csm(maxMessageSize: size))
        let id = try conversation.handled(.get("a", token: [4])).id
        let messages = try conversation.answered(id, Response(.content, payload: ByteBuffer(repeating: 1, count: 100)))
        #expect(messages == [Message(code: .internalServerError, token: Token([4]))])
    }

    @Test("RFC 7252 §3.1: an answer with an option longer than the format can say becomes a 5.00, not garbled")
    func optionTooLong() throws {
        let conversation = Conversation()
        _ = conversation.receive(.csm(maxMessageSize: 1 << 20))
        let id = try conversation.handled(.get("a")).id
        var response = Response(.created)
        response.options.append(.locationQuery, string: String(repeating: "x", count: 65805))
        #expect(try conversation.answered(id, response).map(\.code) == [.internalServerError])
    }

    // MARK: Internal options

    @Test("Internal options of an answer never reach a peer outside, and always one inside")
    func internalOptions() throws {
        var response = Response(.serviceUnavailable)
        response.options.maxAge = 5
        response.options.undelivered = .noSession
        let outside = Conversation()
        let outsideID = try outside.handled(.get("a")).id
        #expect(try outside.answered(outsideID, response).first?.options.map(\.number) == [.maxAge])
        let inside = Conversation(.internal)
        let insideID = try inside.handled(.get("a")).id
        #expect(try inside.answered(insideID, response).first?.options == response.options)
    }

    @Test("Requests of either side count as work under way")
    func work() throws {
        let conversation = Conversation()
        #expect(!conversation.hasWorkInFlight)
        let id = try conversation.handled(.get("a")).id
        #expect(conversation.hasWorkInFlight)
        _ = conversation.respond(id)
        #expect(!conversation.hasWorkInFlight)
        try conversation.wrote()
        #expect(conversation.hasWorkInFlight)
    }
}
