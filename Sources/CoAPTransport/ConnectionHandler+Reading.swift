import CoAP
import NIOCore

// What the peer sends: whole messages out of the bytes, at the pace it may have.

extension ConnectionHandler {
    /// Handles whole messages, at most so many before the others' turn.
    func handleBuffered(now: NIODeadline) {
        var handled = 0
        self.isPaused = false
        while self.end == nil {
            let before = self.buffer.readerIndex
            let message: Message
            do throws(DecodeError) {
                guard let next = try Message(readingFrameFrom: &self.buffer, limits: self.frameLimits) else { break }
                message = next
            } catch {
                self.perform(.abort(self.machine.malformed(error), .malformed(error)))
                break
            }
            if message.code == .pong { self.pongs.take(message.token)?(true) }
            let action = self.machine.received(message, size: self.buffer.readerIndex - before, now: now)
            self.perform(action)
            handled += 1
            // Answers to our own requests are bounded by those; everything else a peer sends of its own accord.
            if !action.isAwaited, self.rate?.admit(now: now) == false, let resumesAt = self.rate?.resumesAt {
                self.pause(until: resumesAt)
                return
            }
            if handled >= self.limits.messagesPerTurn, self.buffer.readableBytes > 0 {
                self.pause(until: nil)
                return
            }
        }
        if self.end != nil || self.buffer.readableBytes == 0 {
            self.buffer = ByteBuffer()
        }
    }

    /// What the WebSocket below answers itself is no message to us, but takes time as one.
    func countControlFrame() {
        guard self.end == nil, self.rate?.admit(now: .now()) == false, !self.isPaused,
            let resumesAt = self.rate?.resumesAt
        else { return }
        self.pause(until: resumesAt)
    }

    private func pause(until time: NIODeadline?) {
        guard let eventLoop = self.context?.eventLoop else { return }
        self.isPaused = true
        if let time {
            eventLoop.assumeIsolated().scheduleTask(deadline: time) { self.resume() }
        } else {
            eventLoop.assumeIsolated().execute { self.resume() }
        }
    }

    private func resume() {
        let now = NIODeadline.now()
        self.turn?.check(now: now)
        guard self.end == nil else { return }
        // One flush for all of them, as in a read cycle.
        self.isReading = true
        self.handleBuffered(now: now)
        self.isReading = false
        self.flush()
        self.schedule()
        self.resumeReading()
    }

    func resumeReading() {
        guard self.heldRead, !self.isPaused, let context = self.context, self.mayRead(context) else { return }
        self.heldRead = false
        context.read()
    }

    func mayRead(_ context: ChannelHandlerContext) -> Bool {
        guard self.limits.readsWhileUnwritable || context.channel.isWritable else { return false }
        // Strangers could fill what is left with messages that never end; those who are there for something sign in,
        // which takes less, or are closed for saying nothing whole.
        return self.isKnown || self.buffer.readableBytes <= Self.strangerBytes || !self.isMemoryShort()
    }

    /// What is kept of a stranger's message that is not whole while memory is short: more than a sign-in has.
    static let strangerBytes = 8 << 10

    func becomeKnown() {
        self.isKnown = true
        self.resumeReading()
    }

    /// From here on messages may be as large as the configuration says.
    func takeLargeMessages(_ limits: FrameLimits) {
        self.frameLimits = limits
        self.blocks.isAllowed = true
    }

    func perform(_ action: ReceiveAction) {
        switch action {
        case .ignore(let what):
            self.delegate.connectionIgnored(what)
        case .handle(let id, let request):
            self.receive(request, id: id)
        case .reply(let message):
            self.write(message)
            if message.code.kind == .response {
                self.delegate.connectionRefused(with: message.code)
            }
        case .complete(let id, let result, let next, let end):
            self.write(next)
            self.complete(id, result)
            if let end {
                self.finishWritten(end)
            }
        case .notify(let id, let response, _, let next, let end):
            self.write(next)
            self.told(id, .success(.notified(response)))
            if let end {
                self.finishWritten(end)
            }
        case .swallowed(let next, let end):
            self.write(next)
            if let end {
                self.finishWritten(end)
            }
        case .cancelled(let id, let then):
            self.blocks.server.forget(id)
            self.delegate.connectionCancelled(id)
            self.perform(then)
        case .released(let holdOffSeconds, let unsent, let closeNow):
            for id in unsent {
                self.complete(id, .failure(ExchangeError(.closing, delivered: false)))
            }
            self.delegate.connectionReleased(to: self.machine.alternativeAddresses)
            if closeNow {
                self.finish(.released(holdOffSeconds: holdOffSeconds))
            }
        case .abort(let message, let end):
            self.abort(message, end)
        case .close(let end):
            self.finish(end)
        }
    }
}
