import NIOCore
import Testing

@testable import CoAP

/// What the peer observes here (RFC 7641 §4, RFC 8323 §7).
struct ObserverTests {
    @Test("RFC 7641 §4.2: after a first answer with Observe further answers are notifications under the same token")
    func notifications() throws {
        let conversation = Conversation()
        let (id, request) = try conversation.handled(.observing("light", token: [7, 7]))
        #expect(request.registers)
        #expect(conversation.hasWorkInFlight)
        let messages = try ["1", "2", "3"].map { try #require(conversation.answered(id, .observed($0)).first) }
        #expect(messages.map(\.text) == ["1", "2", "3"])
        #expect(messages.allSatisfy { $0.token == Token([7, 7]) && $0.code == .content })
        #expect(!conversation.hasWorkInFlight)
    }

    @Test("RFC 7641 §4.4: Observe values grow strictly over all observations of a connection, without 1")
    func values() throws {
        let conversation = Conversation()
        let first = try conversation.handled(.observing(token: [1])).id
        let second = try conversation.handled(.observing(token: [2])).id
        let values = try [first, second, first, second].map {
            try conversation.answered($0, .observed()).first?.options.observe
        }
        #expect(values == [0, 2, 3, 4])
    }

    @Test("BI-26: the Observe value wraps at 2^24")
    func wrap() {
        var observers = Observers(lastValue: 0xFF_FFFD)
        #expect((0..<4).map { _ in observers.nextValue() } == [0xFF_FFFE, 0xFF_FFFF, 0, 2])
    }

    @Test(
        "RFC 7641 §4.2: an answer without Observe, or with an error, is the last",
        arguments: [Response(.content), Response(.notFound), Response(.serviceUnavailable)])
    func last(response: Response) throws {
        for isFirst in [true, false] {
            let conversation = Conversation()
            let id = isFirst ? try conversation.handled(.observing()).id : try conversation.registered()
            var response = response
            if !response.code.isSuccess { response.options.observe = 5 }
            let message = try #require(try conversation.answered(id, response).first)
            #expect(message.code == response.code)
            #expect(message.options.observe == nil)
            #expect(conversation.respond(id, .observed()) == .nothing)
        }
    }

    @Test("A request that does not register is answered once, and its answer never has an Observe option")
    func plain() throws {
        let conversation = Conversation()
        let id = try conversation.handled(.get("a")).id
        #expect(try conversation.answered(id, .observed()).first?.options.observe == nil)
        #expect(conversation.respond(id, .observed()) == .nothing)
    }

    // MARK: Cancelling

    @Test("RFC 7641 §3.6: a GET with Observe 1 under the token cancels, and is answered like any other")
    func cancel() throws {
        let conversation = Conversation()
        let registered = try conversation.registered("light", token: [7])
        let (id, then) = try conversation.cancelled(by: .observing("light", token: [7], value: [1]))
        #expect(id == registered)
        guard case .handle(let plain, let request) = then else { throw Unexpected(then) }
        #expect(request.options.observe == nil)
        #expect(request.options.path == ["light"])
        #expect(conversation.respond(registered, .observed()) == .nothing)
        #expect(
            try conversation.answered(plain, .observed("x")) == [
                Message(code: .content, token: Token([7]), payload: ByteBuffer(string: "x"))
            ])
    }

    @Test("BI-26: a GET with Observe 1 that cancels nothing is an ordinary request")
    func cancelUnknown() throws {
        let conversation = Conversation()
        let registered = try conversation.registered(token: [7])
        #expect(try conversation.handled(.observing(token: [8], value: [1])).request.options.observe == nil)
        #expect(try conversation.handled(.observing(token: [0, 7], value: [1])).request.options.observe == nil)
        #expect(try conversation.answered(registered, .observed()).count == 1)
    }

    @Test("RFC 7641 §4.1: registering again under the same token replaces what was registered")
    func reregister() throws {
        let conversation = Conversation()
        let registered = try conversation.registered("light", token: [7])
        let (old, then) = try conversation.cancelled(by: .observing("switch", token: [7]))
        #expect(old == registered)
        guard case .handle(let new, let request) = then else { throw Unexpected(then) }
        #expect(request.registers)
        #expect(request.options.path == ["switch"])
        #expect(conversation.respond(old, .observed()) == .nothing)
        #expect(try conversation.answered(new, .observed()).first?.options.observe == 2)
        #expect(try conversation.answered(new, .observed()).first?.options.observe == 3)
    }

    @Test("A registration cancelled or repeated before its answer is answered once", arguments: [0, 1] as [UInt8])
    func overtaken(value: UInt8) throws {
        let conversation = Conversation()
        let old = try conversation.handled(.observing(token: [7])).id
        let (new, request) = try conversation.handled(.observing(token: [7], value: [value]))
        #expect(request.registers == (value == 0))
        guard case .writeUnregistered(let messages, old) = conversation.respond(old, .observed("x")) else {
            Issue.record("registered")
            return
        }
        #expect(messages.map(\.text) == ["x"])
        #expect(messages.first?.options.observe == nil)
        #expect(conversation.respond(old, .observed()) == .nothing)
        #expect(try conversation.answered(new, .observed()).first?.options.contains(.observe) == (value == 0))
        // What the new one registered is still there.
        #expect((conversation.respond(new, .observed()) == .nothing) == (value == 1))
    }

    @Test("Between our own programs a cancellation is answered at once: nobody wants its answer")
    func cancelInside() throws {
        let conversation = Conversation(.internal)
        let registered = try conversation.registered(token: [7])
        let action = conversation.receive(.observing(token: [7], value: [1]))
        #expect(action == .cancelled(registered, then: .reply(Message(code: .content, token: Token([7])))))
        #expect(
            conversation.receive(.observing(token: [7], value: [1]))
                == .reply(Message(code: .content, token: Token([7]))))
    }

    @Test(
        "BI-26: Observe with a method other than GET is ignored",
        arguments: [.post, .put, .delete, .fetch, Code(0, 6)] as [Code], [0, 1] as [UInt8])
    func method(method: Code, value: UInt8) throws {
        let conversation = Conversation()
        let registered = try conversation.registered(token: [1])
        var message = Message.observing(token: [1], value: [value])
        message.code = method
        let (id, request) = try conversation.handled(message)
        #expect(request.options.observe == nil)
        #expect(try conversation.answered(id, .observed()).first?.options.observe == nil)
        #expect(try conversation.answered(registered, .observed()).count == 1)
    }

    @Test(
        "RFC 7641 §2: an Observe value other than 0 and 1 in a request is ignored",
        arguments: [[2], [1, 0], [255, 255, 255], [0, 0, 0, 0], [0, 0, 0, 1]] as [[UInt8]])
    func otherValues(value: [UInt8]) throws {
        let conversation = Conversation()
        let registered = try conversation.registered(token: [1])
        #expect(try conversation.handled(.observing(token: [1], value: value)).request.options.observe == nil)
        #expect(try conversation.answered(registered, .observed()).count == 1)
    }

    @Test("RFC 7252 §5.4.5: of several Observe options the first counts")
    func repeated() throws {
        let message = Message.get("a", adding: [(.observe, []), (.observe, [1])])
        #expect(try Conversation().handled(message).request.registers)
    }

    // MARK: Bounds

    @Test("BI-26: above so many registrations a GET is answered once, and never asks anybody to go on")
    func flood() throws {
        let conversation = Conversation(ConnectionConfiguration(keepalive: nil, maximumObservers: 3))
        let registered = try (1...2).map { try conversation.registered(token: [$0]) }
        // One that waits for its answer counts as well.
        let waiting = try conversation.handled(.observing(token: [3])).id
        let (more, request) = try conversation.handled(.observing(token: [4]))
        #expect(!request.registers)
        #expect(try conversation.answered(more, .observed()).first?.options.observe == nil)
        #expect(conversation.respond(more, .observed()) == .nothing)
        // A place that becomes free is taken again: by an end, a cancellation, a refusal.
        _ = conversation.respond(registered[0], Response(.notFound))
        _ = try conversation.registered(token: [5])
        _ = try conversation.cancelled(by: .observing(token: [2], value: [1]))
        _ = try conversation.registered(token: [6])
        _ = conversation.respond(waiting, Response(.content))
        _ = try conversation.registered(token: [7])
        #expect(try !conversation.handled(.observing(token: [8])).request.registers)
        // Registering again takes no place.
        guard case .handle(_, let again) = try conversation.cancelled(by: .observing(token: [7])).then else {
            Issue.record("not handled")
            return
        }
        #expect(again.registers)
    }

    @Test("What is registered does not count among the requests that wait for an answer")
    func incoming() throws {
        let conversation = Conversation(ConnectionConfiguration(keepalive: nil, maximumIncoming: 1))
        for token in 1...5 as ClosedRange<UInt8> { _ = try conversation.registered(token: [token]) }
        try conversation.handled(.get("a"))
        #expect(try conversation.replied(to: .observing(token: [9])).code == .serviceUnavailable)
        // Cancelling works even then.
        let (_, then) = try conversation.cancelled(by: .observing(token: [1], value: [1]))
        guard case .reply(let refusal) = then else { throw Unexpected(then) }
        #expect(refusal.code == .serviceUnavailable)
    }

    @Test("RFC 8323 §5.3.1: a notification larger than the peer takes becomes an error, which is the end of it")
    func tooLarge() throws {
        let conversation = Conversation()
        let id = try conversation.registered()
        let large = Response.observed(String(repeating: "x", count: 2000))
        guard case .writeUnregistered(let messages, id) = conversation.respond(id, large) else {
            Issue.record("still registered")
            return
        }
        #expect(messages.map(\.code) == [.internalServerError])
        #expect(messages.first?.options.observe == nil)
        #expect(conversation.respond(id, .observed()) == .nothing)
        let first = try conversation.handled(.observing(token: [2])).id
        guard case .writeUnregistered(_, first) = conversation.respond(first, large) else {
            Issue.record("registered")
            return
        }
    }

    @Test("RFC 7967 §2: notifications of a class that is not wanted are not sent, an error still is")
    func noResponse() throws {
        let conversation = Conversation()
        let id = try conversation.handled(.get("a", adding: [(.observe, []), (.noResponse, [2])])).id
        #expect(conversation.respond(id, .observed()) == .nothing)
        #expect(conversation.respond(id, .observed()) == .nothing)
        #expect(try conversation.answered(id, Response(.notFound)).map(\.code) == [.notFound])
    }

    // MARK: Slow readers

    @Test("BI-26, BI-60: while the peer does not read, only the newest notification of each registration is kept")
    func newestWins() throws {
        let conversation = Conversation()
        let first = try conversation.registered(token: [1])
        let second = try conversation.registered(token: [2])
        for text in ["1", "2", "3"] {
            #expect(conversation.respond(first, .observed("a" + text), isWritable: false) == .nothing)
        }
        #expect(conversation.respond(second, .observed("b1"), isWritable: false) == .nothing)
        #expect(conversation.respond(first, .observed("a4"), isWritable: false) == .nothing)
        // Also where the peer reads again but what waited has not been taken yet.
        #expect(conversation.respond(first, .observed("a5")) == .nothing)
        let written = (0..<3).map { _ in conversation.nextNotification() }
        guard case .write(let one) = written[0], case .write(let two) = written[1] else {
            Issue.record("\(written)")
            return
        }
        #expect((one + two).map(\.text) == ["a5", "b1"])
        #expect((one + two).map(\.options.observe) == [3, 4])
        #expect(written[2] == .nothing)
        #expect(try conversation.answered(first, .observed("a6")).map(\.text) == ["a6"])
    }

    @Test("The last answer is never replaced and never waits, and what it overtakes is dropped")
    func lastGoesOut() throws {
        let conversation = Conversation()
        let id = try conversation.registered()
        #expect(conversation.respond(id, .observed("old"), isWritable: false) == .nothing)
        #expect(
            conversation.respond(id, Response(.notFound), isWritable: false)
                == .write([
                    Message(code: .notFound, token: Token([1]))
                ]))
        #expect(conversation.respond(id, .observed("late"), isWritable: false) == .nothing)
        #expect(conversation.nextNotification() == .nothing)
    }

    @Test("A first answer is an answer, and never waits")
    func firstGoesOut() throws {
        let conversation = Conversation()
        let id = try conversation.handled(.observing()).id
        guard case .write = conversation.respond(id, .observed(), isWritable: false) else {
            Issue.record("not written")
            return
        }
    }

    @Test("What waits for a slow reader goes with its registration")
    func cancelledWhileWaiting() throws {
        let conversation = Conversation()
        let id = try conversation.registered(token: [1])
        _ = conversation.respond(id, .observed("x"), isWritable: false)
        _ = try conversation.cancelled(by: .observing(token: [1], value: [1]))
        #expect(conversation.nextNotification() == .nothing)
    }

    // MARK: The end

    @Test("RFC 8323 §5.5: what the peer observes does not hold up the end after its Release")
    func released() throws {
        let conversation = Conversation()
        let id = try conversation.registered()
        #expect(
            conversation.receive(.signal(.release)) == .released(holdOffSeconds: nil, unsent: [], closeNow: true))
        #expect(conversation.respond(id, .observed()) == .nothing)
    }

    @Test("RFC 8323 §5.5: after our Release notifications go on until the peer closes")
    func releasedByUs() throws {
        let conversation = Conversation()
        let id = try conversation.registered()
        _ = conversation.release()
        #expect(try conversation.answered(id, .observed()).count == 1)
        _ = conversation.close()
        #expect(conversation.respond(id, .observed()) == .nothing)
        #expect(conversation.nextNotification() == .nothing)
    }

    @Test("RFC 8323 §5.4.1: a Ping with Custody waits for the first answer to a registration, not for its end")
    func custody() throws {
        let conversation = Conversation()
        let id = try conversation.handled(.observing()).id
        #expect(conversation.receive(.signal(.ping, token: [5], [(2, [])])) == .ignore(.heldPong))
        #expect(try conversation.answered(id, .observed()).map(\.code) == [.content, .pong])
    }

    @Test("OCF CNC §8.4: a recorded observation, answered and notified byte for byte as it was")
    func golden() throws {
        let conversation = Conversation()
        func recording(_ name: String) throws -> Recording { try #require(Recording.all.first { $0.name == name }) }
        func response(_ message: Message) -> Response {
            Response(message.code, options: message.options, payload: message.payload)
        }
        let (id, request) = try conversation.handled(try recording("observe request").message)
        #expect(request.registers)
        #expect(request.options.path == ["light", "1"])
        for name in ["first answer to observe", "notification"] {
            let recorded = try recording(name)
            let answer = try conversation.answered(id, response(recorded.message))
            #expect(answer.map(\.frame) == [recorded.frame])
        }
    }
}
