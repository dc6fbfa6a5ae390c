import CoAP
import NIOCore
import Testing

/// What we observe at the peer (RFC 7641 §3, RFC 8323 §7.1).
struct ObservingTests {
    static let oneAtATime = ConnectionConfiguration(keepalive: nil, maximumInFlight: 1)

    @Test("RFC 7641 §3.1: a registration is a GET with Observe 0, and its first answer opens the observation")
    func registers() throws {
        let conversation = Conversation()
        let outgoing = try conversation.observed(Request(.get, path: ["light", "1"], queries: ["if=oic.if.a"]))
        #expect(outgoing.message.code == .get)
        #expect(outgoing.message.options.observe == 0)
        #expect(outgoing.message.options.path == ["light", "1"])
        #expect(outgoing.message.options.queries == ["if=oic.if.a"])
        let first = try conversation.notified(by: .notification("on", to: outgoing))
        #expect(first.id == outgoing.id)
        #expect(first.isFirst)
        #expect(first.response.payload == ByteBuffer(string: "on"))
        #expect(!conversation.hasWorkInFlight)
    }

    @Test(
        "RFC 8323 §7.1: notifications come in the order of arrival, whatever their Observe values say",
        arguments: [[], [5], [2], [2], [0xFF, 0xFF, 0xFF], [0], [1, 2, 3, 4]] as [[UInt8]])
    func values(value: [UInt8]) throws {
        let conversation = Conversation()
        let outgoing = try conversation.observing()
        for text in ["1", "2", "3"] {
            let notification = try conversation.notified(by: .notification(text, to: outgoing, value: value))
            #expect(notification.response.payload == ByteBuffer(string: text))
            #expect(!notification.isFirst)
        }
    }

    @Test("An observation has no deadline once its first answer is there, and no place among the requests")
    func noDeadline() throws {
        let conversation = Conversation(Self.oneAtATime)
        let outgoing = try conversation.observed(within: .seconds(2))
        let waiting = try conversation.queued(within: .seconds(1000))
        #expect(try conversation.notified(by: .notification(to: outgoing)).next.map(\.id) == [waiting])
        conversation.pass(.seconds(900))
        _ = conversation.askWhatIsDue()
        try conversation.notified(by: .notification(to: outgoing))
    }

    @Test("RFC 7641 §4.1: an answer without Observe ends it at once", arguments: [true, false])
    func notObservable(isFirst: Bool) throws {
        let conversation = Conversation()
        let outgoing = isFirst ? try conversation.observed() : try conversation.observing()
        let completion = try conversation.completed(by: .response(to: outgoing, payload: "plain"))
        #expect(completion.id == outgoing.id)
        #expect(try completion.result.get().payload == ByteBuffer(string: "plain"))
        #expect(conversation.receive(.notification(to: outgoing)) == .ignore(.unmatchedResponse))
        #expect(conversation.cancel(outgoing.id) == nil)
    }

    @Test("RFC 7641 §4.2: an answer that is no success ends it, with Observe as well", arguments: [true, false])
    func error(isFirst: Bool) throws {
        let conversation = Conversation()
        let outgoing = isFirst ? try conversation.observed() : try conversation.observing()
        let completion = try conversation.completed(by: .response(.notFound, to: outgoing, adding: [(.observe, [9])]))
        #expect(try completion.result.get().code == .notFound)
        #expect(conversation.receive(.notification(to: outgoing)) == .ignore(.unmatchedResponse))
    }

    @Test("BI-20: a notification with an unknown critical option ends it, as of no use")
    func unusable() throws {
        let conversation = Conversation()
        let outgoing = try conversation.observing()
        let result = try conversation.completed(
            by: .response(to: outgoing, adding: [(.observe, []), (OptionNumber(rawValue: 65001), [])])
        ).result
        let fault = OptionFault.critical(OptionNumber(rawValue: 65001))
        #expect(result == .failure(ExchangeError(.unusableResponse(fault), delivered: true)))
    }

    @Test("BI-26: only the first answer is awaited; notifications count as what the peer sends of its own accord")
    func awaited() throws {
        let conversation = Conversation()
        let outgoing = try conversation.observed()
        #expect(conversation.receive(.notification(to: outgoing)).isAwaited)
        #expect(!conversation.receive(.notification(to: outgoing)).isAwaited)
        #expect(conversation.receive(.response(to: outgoing)).isAwaited)
        #expect(!conversation.receive(.response(to: outgoing)).isAwaited)
    }

    // MARK: Cancelling

    @Test("RFC 7641 §3.6: cancelling sends the same GET with Observe 1 under the same token")
    func cancel() throws {
        let conversation = Conversation()
        var request = Request(.get, path: ["light", "1"], queries: ["if=oic.if.a"])
        request.options.accept = .ocfCBOR
        request.options.ocfAcceptVersion = .v1_0_0
        let outgoing = try conversation.observing(request)
        let message = try #require(conversation.cancel(outgoing.id))
        #expect(message.code == .get)
        #expect(message.token == outgoing.message.token)
        #expect(message.options.observe == 1)
        var options = message.options
        options.observe = 0
        #expect(options == outgoing.message.options)
        #expect(conversation.cancel(outgoing.id) == nil)
    }

    @Test("What comes under a cancelled observation reaches nobody: notifications on their way, then the answer")
    func swallowed() throws {
        let conversation = Conversation()
        let outgoing = try conversation.observing()
        _ = conversation.cancel(outgoing.id)
        #expect(conversation.receive(.notification(to: outgoing)) == .ignore(.cancelledObservation))
        #expect(conversation.receive(.response(to: outgoing)) == .ignore(.cancelledObservation))
        #expect(conversation.receive(.response(to: outgoing)) == .ignore(.unmatchedResponse))
    }

    @Test("A registration cancelled before its first answer keeps its place until that came", arguments: [true, false])
    func cancelEarly(isObservable: Bool) throws {
        let conversation = Conversation(Self.oneAtATime)
        let outgoing = try conversation.observed()
        let waiting = try conversation.queued()
        #expect(conversation.cancel(outgoing.id)?.options.observe == 1)
        let first: Message = isObservable ? .notification(to: outgoing) : .response(to: outgoing)
        guard case .swallowed(let next, nil) = conversation.receive(first) else {
            Issue.record("not swallowed")
            return
        }
        #expect(next.map(\.id) == [waiting])
        #expect(conversation.receive(.response(to: outgoing)) == .ignore(.cancelledObservation))
        #expect(conversation.receive(.response(to: outgoing)) == .ignore(.unmatchedResponse))
    }

    @Test("A registration cancelled in the queue is never sent, and neither is its cancellation")
    func cancelQueued() throws {
        let conversation = Conversation(Self.oneAtATime)
        let first = try conversation.wrote()
        guard case .queued(let id) = conversation.observe() else {
            Issue.record("not queued")
            return
        }
        #expect(conversation.cancel(id) == nil)
        #expect(try conversation.completed(by: .response(to: first)).next.isEmpty)
    }

    @Test("BI-15: an answer to a registration that is still in the queue is nobody's, token or not")
    func answerBeforeQuestion() throws {
        let conversation = Conversation(Self.oneAtATime)
        let first = try conversation.wrote()
        guard case .queued(let id) = conversation.observe() else {
            Issue.record("not queued")
            return
        }
        let early = Message(code: .content, token: Token(eightBytes: id.rawValue))
        #expect(conversation.receive(early) == .ignore(.unmatchedResponse))
        #expect(try conversation.completed(by: .response(to: first)).next.map(\.id) == [id])
    }

    @Test("A cancellation goes out ahead of a queue that is full")
    func cancelAheadOfQueue() throws {
        let conversation = Conversation(
            ConnectionConfiguration(keepalive: nil, maximumInFlight: 1, maximumQueued: 1))
        let outgoing = try conversation.observing()
        try conversation.wrote()
        try conversation.queued()
        #expect(conversation.send() == .refuse(.queueFull))
        #expect(conversation.cancel(outgoing.id) != nil)
    }

    @Test("A cancelled registration that is never answered frees its place at its deadline, and nobody is told")
    func cancelledAndLate() throws {
        let conversation = Conversation(Self.oneAtATime)
        let outgoing = try conversation.observed(within: .seconds(2))
        let waiting = try conversation.queued()
        _ = conversation.cancel(outgoing.id)
        conversation.pass(.seconds(2))
        let (late, next) = try conversation.expired()
        #expect(late.isEmpty)
        #expect(next.map(\.id) == [waiting])
        #expect(conversation.receive(.notification(to: outgoing)) == .ignore(.cancelledObservation))
    }

    @Test("A registration without an answer in time is over, and the peer is told in case it begins after all")
    func late() throws {
        let conversation = Conversation()
        let outgoing = try conversation.observed(within: .seconds(2))
        conversation.pass(.seconds(2))
        guard case .expire(let late, let cancellations, []) = conversation.askWhatIsDue() else {
            Issue.record("not expired")
            return
        }
        #expect(late == [outgoing.id: ExchangeError(.timedOut, delivered: true)])
        #expect(cancellations.map(\.token) == [outgoing.message.token])
        #expect(cancellations.first?.options.observe == 1)
        #expect(conversation.receive(.notification(to: outgoing)) == .ignore(.cancelledObservation))
    }

    @Test("A peer that answers no cancellation makes us remember no more than so many")
    func unansweredCancellations() throws {
        let conversation = Conversation(ConnectionConfiguration(keepalive: nil, maximumObservations: 4))
        let all = try (0..<9).map { _ in
            let outgoing = try conversation.observing()
            _ = conversation.cancel(outgoing.id)
            return outgoing
        }
        #expect(conversation.receive(.response(to: all[8])) == .ignore(.cancelledObservation))
        #expect(conversation.receive(.response(to: all[0])) == .ignore(.unmatchedResponse))
    }

    // MARK: Bounds and ends

    @Test("BI-26: observations of one connection are bounded in number, those that wait for an answer included")
    func count() throws {
        let conversation = Conversation(ConnectionConfiguration(keepalive: nil, maximumObservations: 2))
        let first = try conversation.observing()
        _ = try conversation.observed()
        #expect(conversation.observe() == .refuse(.queueFull))
        _ = conversation.cancel(first.id)
        _ = try conversation.observing()
        #expect(conversation.observe() == .refuse(.queueFull))
    }

    @Test("BI-26: the bytes that are kept for cancelling are bounded, and given back at the end")
    func bytes() throws {
        let conversation = Conversation(ConnectionConfiguration(keepalive: nil, maximumObservationBytes: 1000))
        let request = Request(.get, path: [String(repeating: "x", count: 255)])
        let all = try (0..<3).map { _ in try conversation.observing(request) }
        #expect(conversation.observe(request) == .refuse(.queueFull))
        _ = try conversation.completed(by: .response(to: all[0]))
        _ = try conversation.observing(request)
        #expect(conversation.observe(request) == .refuse(.queueFull))
    }

    @Test("RFC 8323 §5.3.1: what could be registered but not cancelled is refused")
    func tooLarge() throws {
        let conversation = Conversation()
        func request(_ length: Int) -> Request {
            Request(.get, path: [], queries: [String(repeating: "x", count: length)])
        }
        func size(_ length: Int) -> Int {
            var options = request(length).options
            options.observe = 1
            return Message(code: .get, token: Token(eightBytes: 1), options: options).frameLength
        }
        let length = 1152 - size(1000) + 1000
        #expect(conversation.observe(request(length + 1)) == .refuse(.tooLarge(size: 1153, maximum: 1152)))
        _ = try conversation.observing(request(length))
    }

    @Test("RFC 8323 §7: with the connection each observation ends, as far as it had come")
    func lost() throws {
        let conversation = Conversation(ConnectionConfiguration(keepalive: nil, maximumInFlight: 2))
        let open = try conversation.observing()
        let cancelled = try conversation.observing()
        _ = conversation.cancel(cancelled.id)
        let early = try conversation.observed()
        _ = conversation.cancel(early.id)
        let unwritten = try conversation.observed()
        guard case .queued(let queued) = conversation.observe() else {
            Issue.record("not queued")
            return
        }
        #expect(
            conversation.close() == [
                open.id: ExchangeError(.connectionLost, delivered: true),
                unwritten.id: ExchangeError(.connectionLost, delivered: false),
                queued: ExchangeError(.connectionLost, delivered: false),
            ])
        #expect(conversation.cancel(open.id) == nil)
    }

    @Test("RFC 8323 §5.5: what is only observed does not hold up the end after a Release")
    func released() throws {
        let conversation = Conversation()
        let open = try conversation.observing()
        #expect(
            conversation.receive(.signal(.release)) == .released(holdOffSeconds: nil, unsent: [], closeNow: true))
        #expect(conversation.close() == [open.id: ExchangeError(.connectionLost, delivered: true)])
    }

    @Test("RFC 8323 §5.5: a registration waits for its answer after a Release, and is the last thing waited for")
    func releasedBeforeAnswer() throws {
        let conversation = Conversation()
        let outgoing = try conversation.observed()
        _ = conversation.receive(.signal(.release))
        #expect(conversation.observe() == .refuse(.closing))
        guard
            case .notify(outgoing.id, _, isFirst: true, next: [], end: .released) =
                conversation.receive(.notification(to: outgoing))
        else {
            Issue.record("not the end")
            return
        }
        #expect(conversation.close().keys.elementsEqual([outgoing.id]))
    }

    @Test("A registration in the queue that is taken back is not observed")
    func withdrawn() throws {
        let conversation = Conversation(Self.oneAtATime)
        try conversation.wrote()
        guard case .queued(let id) = conversation.observe() else {
            Issue.record("not queued")
            return
        }
        #expect(conversation.withdrawQueued() == [id])
        #expect(conversation.close()[id] == nil)
    }

    @Test("A registration counts as unwritten until the kernel has it; notifications and cancellations never do")
    func unwritten() throws {
        let conversation = Conversation()
        let outgoing = try conversation.observed()
        #expect(conversation.unwritten == 1)
        conversation.written(outgoing.id)
        try conversation.notified(by: .notification(to: outgoing))
        _ = conversation.cancel(outgoing.id)
        #expect(conversation.unwritten == 0)
    }

    @Test("Internal options of a registration stay inside, in its cancellation too")
    func internalOptions() throws {
        var request = Request(.get, path: ["light"])
        request.options.fence = Fence(epoch: 1, uid: "u")
        let outside = Conversation()
        let outgoing = try outside.observing(request)
        #expect(outgoing.message.options.map(\.number) == [.observe, .uriPath])
        #expect(outside.cancel(outgoing.id)?.options.map(\.number) == [.observe, .uriPath])
        let inside = Conversation(.internal)
        #expect(try inside.observed(request).message.options.fence == Fence(epoch: 1, uid: "u"))
    }

    @Test("What is kept of a registration does not keep the bytes it was read from")
    func compacted() throws {
        var read = ByteBuffer(repeating: 0x61, count: 1 << 20)
        var options = Options()
        options.append(.uriPath, read.readSlice(length: 5) ?? ByteBuffer())
        let message = try Conversation().observed(Request(.get, options: options)).message
        #expect((message.options.first(.uriPath)?.value.storageCapacity ?? .max) < 1024)
        #expect(message.options.path == ["aaaaa"])
    }
}
