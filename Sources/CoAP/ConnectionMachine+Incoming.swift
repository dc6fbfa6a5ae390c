import NIOCore

// Requests of the peer: each is answered exactly once, under the token it came with.

/// A request of the peer that waits for our answer.
struct Incoming: Hashable {
    let token: Token
    let noResponse: NoResponse
    var registration = Registration.unasked

    enum Registration: Hashable {
        /// It did not ask to be told more.
        case unasked
        case asked
        /// It did, but a later request under its token took that back.
        case overtaken
    }
}

extension ConnectionMachine {
    mutating func receivedRequest(_ message: Message, now: NIODeadline) -> ReceiveAction {
        let request = Request(message.code, options: message.options, payload: message.payload)
        let noResponse = NoResponse(message.options)
        switch self.phase {
        case .releasedByPeer:
            // It said it was going; a request behind that is not ours to start (RFC 8323 §5.5).
            return self.reply(
                Response(.serviceUnavailable, diagnostic: "you have sent a Release; reconnect", maxAge: 1),
                token: message.token, noResponse: noResponse)
        case .open, .releasedByUs, .closed:
            break
        }
        switch request.screened(allowingInternal: self.configuration.isInternal) {
        case .answer(let response):
            return self.reply(response, token: message.token, noResponse: noResponse)
        case .accept(var request):
            let observe = self.takeObserve(of: &request)
            let earlier = observe.flatMap { _ in self.overtake(message.token) }
            let action: ReceiveAction
            if observe == .cancel, self.configuration.isInternal {
                // Our own programs throw this answer away; there is no need to ask a device for it.
                action = self.reply(Response(.content), token: message.token, noResponse: noResponse)
            } else {
                let incoming = Incoming(token: message.token, noResponse: noResponse)
                action = self.take(request, incoming, registers: observe == .register)
            }
            return earlier.map { .cancelled($0, then: action) } ?? action
        }
    }

    private mutating func take(_ request: Request, _ incoming: Incoming, registers: Bool) -> ReceiveAction {
        guard self.incoming.count < self.configuration.maximumIncoming else {
            let text = "\(self.configuration.maximumIncoming) requests of this connection are being answered"
            return self.reply(
                Response(.serviceUnavailable, diagnostic: text, maxAge: 1),
                token: incoming.token, noResponse: incoming.noResponse)
        }
        self.lastIncoming += 1
        let id = IncomingID(rawValue: self.lastIncoming)
        var request = request
        var incoming = incoming
        if registers, self.observers.count < self.configuration.maximumObservers {
            incoming.registration = .asked
            self.observers.asked(id, token: incoming.token)
            request.options.observe = 0
        }
        self.incoming[id] = incoming
        return .handle(id, request)
    }

    private func reply(_ response: Response, token: Token, noResponse: NoResponse) -> ReceiveAction {
        guard !noResponse.suppresses(response.code) else { return .ignore(.suppressedReply) }
        return .reply(self.fitting(response, token: token))
    }

    /// The answer to a request of the peer, or a notification to what it registered. An id that was answered for the
    /// last time already, or whose connection is closed, is nothing.
    /// - Parameter isWritable: whether the peer takes what is written. Where it does not, a notification is kept for
    ///   `nextNotification`, in the place of an earlier one.
    package mutating func respond(
        to id: IncomingID, with response: Response, isWritable: Bool = true
    ) -> RespondAction {
        guard self.phase != .closed else { return .nothing }
        guard let incoming = self.incoming.removeValue(forKey: id) else {
            return self.notify(id, response, isWritable: isWritable)
        }
        self.releaseMemory()
        let goesOn = incoming.registration == .asked && response.continuesObservation
        let message = self.answer(response, token: incoming.token, isNotification: goesOn)
        let isRegistered = goesOn && message.options.contains(.observe)
        if isRegistered {
            self.observers.register(id, Observer(token: incoming.token, noResponse: incoming.noResponse))
        } else if incoming.registration == .asked {
            self.observers.remove(id, token: incoming.token)
        }
        var messages: [Message] = []
        if !incoming.noResponse.suppresses(response.code) {
            messages.append(message)
        }
        messages += self.duePongs()
        if let end = self.endIfDrained() {
            return .writeThenClose(messages, end)
        }
        if !isRegistered, incoming.registration != .unasked, response.continuesObservation {
            return .writeUnregistered(messages, id)
        }
        return messages.isEmpty ? .nothing : .write(messages)
    }

    /// The message for an answer, which has an Observe option if it is a notification, and only then.
    mutating func answer(_ response: Response, token: Token, isNotification: Bool) -> Message {
        var response = response
        response.options.observe = isNotification ? self.observers.nextValue() : nil
        return self.fitting(response, token: token)
    }

    /// The response as a message the peer can take, else a small 5.00 (RFC 8323 §5.3.1).
    private func fitting(_ response: Response, token: Token) -> Message {
        var options = response.options
        if !self.configuration.isInternal {
            options.removeInternal()
        }
        let message = Message(code: response.code, token: token, options: options, payload: response.payload)
        let maximum = self.peer.maximumMessageSize
        let size = message.frameLength
        let text: String
        if options.longestValue > Option.maximumLength {
            text = "the answer has an option of \(options.longestValue) bytes, which no message can hold"
        } else if size > maximum {
            text = "the answer of \(size) bytes exceeds your Max-Message-Size \(maximum) (RFC 8323 §5.3.1)"
        } else {
            return message
        }
        let small = Message(code: .internalServerError, token: token, payload: ByteBuffer(string: text))
        return small.frameLength <= maximum ? small : Message(code: .internalServerError, token: token)
    }

    /// Pongs whose wait is over: nothing that arrived before their Ping is unanswered (RFC 8323 §5.4.1).
    private mutating func duePongs() -> [Message] {
        guard !self.heldPongs.isEmpty else { return [] }
        let oldest = self.incoming.keys.min()
        let due = self.heldPongs.prefix { held in oldest.map { $0 > held.behind } ?? true }
        self.heldPongs.removeFirst(due.count)
        return due.map { Signal.pong(custody: true).message(token: $0.token) }
    }

    /// Once the peer has sent a Release and nothing of either side is left, we close (RFC 8323 §5.5).
    mutating func endIfDrained() -> ConnectionEnd? {
        guard case .releasedByPeer(let holdOffSeconds, _) = self.phase, !self.hasWorkInFlight else { return nil }
        self.phase = .closed
        return .released(holdOffSeconds: holdOffSeconds)
    }
}
