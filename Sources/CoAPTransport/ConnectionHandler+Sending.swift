import CoAP
import NIOCore

// What we send: requests, answers, signals.

extension ConnectionHandler {
    func send(_ request: Request, deadline: NIODeadline, completion: @escaping Completion) {
        switch self.machine.send(request, deadline: deadline, now: .now()) {
        case .write(let outgoing):
            self.completions[outgoing.id] = completion
            self.write([outgoing])
            self.settle()
        case .queued(let id):
            self.completions[id] = completion
            self.schedule()
        case .refuse(let failure):
            completion(.failure(ExchangeError(failure, delivered: false)))
        }
    }

    /// Nil if it was refused: `event` was told.
    func observe(_ request: Request, deadline: NIODeadline, event: @escaping Observation) -> ExchangeID? {
        let now = NIODeadline.now()
        let observed = Observed(request, span: deadline - now, event: event)
        switch self.machine.observe(request, deadline: deadline, now: now) {
        case .write(let outgoing):
            self.observations[outgoing.id] = observed
            self.write([outgoing])
            self.settle()
            return outgoing.id
        case .queued(let id):
            self.observations[id] = observed
            self.schedule()
            return id
        case .refuse(let failure):
            event(.failure(ExchangeError(failure, delivered: false)))
            return nil
        }
    }

    func cancel(_ id: ExchangeID) {
        guard let observed = self.observations.removeValue(forKey: id) else { return }
        self.stopFetching(for: id, observed)
        guard let message = self.machine.cancel(id) else { return }
        self.write(message)
        self.settle()
    }

    func respond(to id: IncomingID, with response: Response) {
        let isWritable = self.context?.channel.isWritable ?? false
        if self.perform(self.machine.respond(to: id, with: response, isWritable: isWritable)) {
            self.settle()
        } else {
            self.checkQuiet()
        }
    }

    // MARK: Silence

    /// Requests of either side that wait for their answer, uploads of the peer that are not whole among them.
    var workCount: Int { self.machine.workCount + self.blocks.server.uploadCount }

    /// - Parameter quiet: called once, later on this event loop, when nothing is in flight; not if the connection ends.
    func whenQuiet(_ quiet: @escaping @Sendable () -> Void) {
        self.quiet = quiet
        self.checkQuiet()
    }

    func checkQuiet() {
        guard self.quiet != nil, self.workCount == 0, self.end == nil else { return }
        // Not at once: whoever brought the last answer is in the middle of that, and may have more to ask.
        self.context?.eventLoop.assumeIsolated().execute {
            guard let quiet = self.quiet, self.workCount == 0, self.end == nil else { return }
            self.quiet = nil
            quiet()
        }
    }

    /// False if there was nothing to write, or nothing more can be.
    private func perform(_ action: RespondAction) -> Bool {
        switch action {
        case .nothing:
            return false
        case .write(let messages):
            messages.forEach(self.write)
        case .writeUnregistered(let messages, let id):
            messages.forEach(self.write)
            self.blocks.server.forget(id)
            // Not at once: whoever answers would hear of it in the middle of that.
            self.context?.eventLoop.assumeIsolated().execute {
                if !self.hasToldDelegate { self.delegate.connectionCancelled(id) }
            }
        case .writeThenClose(let messages, let end):
            messages.forEach(self.write)
            self.finishWritten(end)
            return false
        }
        return true
    }

    /// What observers missed while they did not read, for as long as they do now.
    func notifyWaiting(_ context: ChannelHandlerContext) {
        var hasWritten = false
        while self.end == nil, context.channel.isWritable, self.perform(self.machine.nextNotification()) {
            hasWritten = true
        }
        if hasWritten { self.settle() }
    }

    func ping() {
        if let message = self.machine.ping() {
            self.write(message)
            self.settle()
        }
    }

    func ping(deadline: NIODeadline, completion: @escaping @Sendable (Bool) -> Void) {
        guard self.end == nil, let eventLoop = self.context?.eventLoop, let message = self.machine.ping(),
            self.pongs.add(message.token, completion)
        else { return completion(false) }
        self.write(message)
        self.settle()
        eventLoop.assumeIsolated().scheduleTask(deadline: deadline) { self.pongs.take(message.token)?(false) }
    }

    func release(holdOffSeconds: UInt32?, alternativeAddresses: [String] = []) {
        guard
            let action = self.machine.release(
                holdOffSeconds: holdOffSeconds, alternativeAddresses: alternativeAddresses, now: .now())
        else { return }
        self.write(action.message)
        self.settle()
        for id in action.unsent {
            self.complete(id, .failure(ExchangeError(.closing, delivered: false)))
        }
    }

    /// Requests that are still in the queue will not be sent: whom they were meant for is no longer here.
    func withdrawQueued() {
        for id in self.machine.withdrawQueued() {
            self.complete(id, .failure(ExchangeError(.closing, delivered: false)))
        }
    }

    func write(_ messages: [Outgoing]) {
        for outgoing in messages {
            guard let context = self.context else { return }
            let written = context.eventLoop.makePromise(of: Void.self)
            self.write(outgoing.message, promise: written)
            written.futureResult.assumeIsolated().whenSuccess {
                self.machine.written(outgoing.id)
            }
        }
    }

    func write(_ message: Message) {
        self.write(message, promise: nil)
    }

    private func write(_ message: Message, promise: EventLoopPromise<Void>?) {
        guard let context = self.context, self.end == nil else {
            promise?.fail(ChannelError.ioOnClosedChannel)
            return
        }
        self.needsFlush = true
        let length = message.frameLength
        if self.unsent.readableBytes + length > Self.joinedBytes { self.handOver(context) }
        if self.unsent.readableBytes == 0 {
            // More is likely to come in a read cycle.
            let capacity = self.isReading && self.joinsMessages ? max(length, Self.firstJoinedBytes) : length
            self.unsent = context.channel.allocator.buffer(capacity: capacity)
        }
        message.writeFrame(into: &self.unsent)
        // Behind a request nothing is joined: its promise tells when the kernel has taken its last byte, no later.
        if promise != nil || !self.joinsMessages { self.handOver(context, promise: promise) }
    }

    /// So many bytes of messages go to the channel as one buffer at most, since it counts only what it was given.
    static let joinedBytes = 16 << 10
    private static let firstJoinedBytes = 256

    /// Gives the channel what was joined. For one buffer the kernel is asked once, and NIO keeps account of one write.
    private func handOver(_ context: ChannelHandlerContext, promise: EventLoopPromise<Void>? = nil) {
        guard self.unsent.readableBytes > 0 else { return }
        let bytes = self.unsent
        self.unsent = ByteBuffer()
        context.write(self.wrapOutboundOut(bytes), promise: promise)
    }

    /// One flush for each read cycle; outside of one, at once.
    func settle() {
        if !self.isReading {
            self.flush()
            self.schedule()
        }
    }

    func flush() {
        guard self.needsFlush else { return }
        self.flushAll()
    }

    func flushAll() {
        self.needsFlush = false
        guard let context = self.context else { return }
        self.handOver(context)
        context.flush()
    }

    func complete(_ id: ExchangeID, _ result: Result<Response, ExchangeError>) {
        if let completion = self.completions.removeValue(forKey: id) {
            // Emptied it would keep its memory.
            if self.completions.isEmpty { self.completions = [:] }
            completion(result)
        } else {
            self.told(id, result.map(ObservationEvent.ended))
        }
    }
}
