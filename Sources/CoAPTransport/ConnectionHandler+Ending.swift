import CoAP
import NIOCore

// How a connection ends: with or without a word, and who is told.

extension ConnectionHandler {
    func abort(diagnostic: String, end: ConnectionEnd) {
        if let message = self.machine.abort(diagnostic: diagnostic) {
            self.abort(message, end)
        }
    }

    /// Flush, half-close, close: a reset must not overtake the Abort (RFC 8323 §5.6).
    ///
    /// Unless requests lie in front of it that the kernel has not taken: they would go out as well, although whoever
    /// asked is told now that they did not, and sends them elsewhere. Such a peer does without the Abort.
    func abort(_ message: Message, _ end: ConnectionEnd) {
        guard self.end == nil, self.context != nil else { return }
        self.write(message)
        self.flush()
        guard self.machine.unwritten == 0 else { return self.finish(end) }
        self.finishLingering(end)
    }

    /// Writes what is buffered and closes a moment later, so that a reset for what was not read does not overtake it.
    func finishLingering(_ end: ConnectionEnd) {
        guard self.end == nil, let context = self.context else { return }
        self.halfClose(context, end)
        self.close(in: self.limits.abortLinger)
        self.tellEnd(end)
    }

    /// Closes once the kernel has taken every byte written so far: the last answer may be larger than its buffer. The
    /// peer has as long as any slow reader, and then a moment to close itself.
    func finishWritten(_ end: ConnectionEnd) {
        guard self.end == nil, let context = self.context else { return }
        let isWritten = context.eventLoop.makePromise(of: Void.self)
        self.halfClose(context, end, promise: isWritten)
        isWritten.futureResult.assumeIsolated().whenComplete { _ in
            self.close(in: self.limits.abortLinger)
        }
        self.close(in: self.limits.slowReaderTimeout)
        self.tellEnd(end)
    }

    private func close(in time: TimeAmount) {
        self.lingerTimer?.cancel()
        self.lingerTimer = self.context?.eventLoop.assumeIsolated().scheduleTask(in: time) {
            self.context?.close(promise: nil)
        }
    }

    /// Nothing is written after this. Input is read on and dropped until the peer closes.
    private func halfClose(
        _ context: ChannelHandlerContext, _ end: ConnectionEnd, promise: EventLoopPromise<Void>? = nil
    ) {
        self.end = end
        self.flushAll()
        context.close(mode: .output, promise: promise)
        self.isPaused = false
        self.heldRead = false
        context.read()
    }

    /// Writes what is buffered, then closes.
    func finish(_ end: ConnectionEnd) {
        guard self.end == nil else { return }
        self.end = end
        self.flushAll()
        self.tellEnd(end)
        self.context?.close(promise: nil)
    }

    /// The same, also where the end had begun and only the peer was waited for.
    func closeNow(_ end: ConnectionEnd) {
        if self.end == nil {
            self.finish(end)
        } else {
            self.context?.close(promise: nil)
        }
    }

    private func failRequests() {
        for (id, error) in self.machine.closed() {
            self.complete(id, .failure(error))
        }
        // Those whose last answer was being fetched: the machine was done with them.
        for id in Array(self.observations.keys) {
            self.told(id, .failure(ExchangeError(.connectionLost, delivered: true)))
        }
        for completion in self.pongs.takeAll() { completion(false) }
    }

    /// As soon as the end is decided: whoever stands behind the connection must not go on for as long as the bytes do,
    /// with a sign-in that was under way least of all.
    private func tellEnd(_ end: ConnectionEnd) {
        self.timer?.cancel()
        self.blocks.close()
        self.slowReaderTimer?.cancel()
        self.failRequests()
        guard !self.hasToldDelegate else { return }
        self.hasToldDelegate = true
        self.delegate.connectionEnded(end)
    }

    func reportEnd(_ end: ConnectionEnd) {
        guard !self.hasReportedEnd else { return }
        self.hasReportedEnd = true
        self.end = end
        self.lingerTimer?.cancel()
        self.tellEnd(end)
        self.ended.succeed(end)
    }
}
