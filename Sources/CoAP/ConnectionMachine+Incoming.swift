import NIOCore

// Requests of the peer: each is answered exactly once, under the token it came with.

/// A request of the peer that waits for our answer.
struct Incoming: Hashable {
    let token: Token
    let noResponse: NoResponse
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
        case .accept(let request):
            guard self.incoming.count < self.configuration.maximumIncoming else {
                let text = "\(self.configuration.maximumIncoming) requests of this connection are being answered"
                return self.reply(
                    Response(.serviceUnavailable, diagnostic: text, maxAge: 1),
                    token: message.token, noResponse: noResponse)
            }
            self.lastIncoming += 1
            let id = IncomingID(rawValue: self.lastIncoming)
            self.incoming[id] = Incoming(token: message.token, noResponse: noResponse)
            return .handle(id, request)
        }
    }

    private func reply(_ response: Response, token: Token, noResponse: NoResponse) -> ReceiveAction {
        guard !noResponse.suppresses(response.code) else { return .ignore(.suppressedReply) }
        return .reply(self.fitting(response, token: token))
    }

    /// The answer to a request of the peer. An id that was answered already, or whose connection is closed, is nothing.
    package mutating func respond(to id: IncomingID, with response: Response) -> RespondAction {
        guard self.phase != .closed, let incoming = self.incoming.removeValue(forKey: id) else { return .nothing }
        var messages: [Message] = []
        if !incoming.noResponse.suppresses(response.code) {
            messages.append(self.fitting(response, token: incoming.token))
        }
        messages += self.duePongs()
        if let end = self.endIfDrained() {
            return .writeThenClose(messages, end)
        }
        return messages.isEmpty ? .nothing : .write(messages)
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
