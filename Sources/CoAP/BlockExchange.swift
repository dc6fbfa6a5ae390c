package import NIOCore

/// One request of ours with all the messages it takes, without input or output: whoever asks sees whole bodies only
/// (RFC 7959, RFC 8323 §6).
///
/// A body that is too large for one message goes out in blocks, one after the other; an answer that comes in blocks is
/// fetched to its end. Each message is an exchange of its own on the connection, under the deadline of the whole.
package struct BlockExchange: ~Copyable {
    /// The block of the request's body that is on its way.
    private struct Upload {
        let end: Int
        let sizeExponent: UInt8
        let isLast: Bool
    }

    private enum Phase {
        case whole
        case uploading(Upload)
        /// Behind the first block, which is here without its payload.
        case fetching(first: Response)
    }

    private let request: Request
    private let deadline: NIODeadline
    private let settings: BlockSettings
    private let tag: UInt64
    private var phase = Phase.whole
    /// The answer's body as far as it has come. Not part of the phase: a second holder would have all of it copied with
    /// each block.
    private var body = ByteBuffer()
    /// An answer to any part came, so that part was delivered.
    private var wasAnswered = false
    private var hasBegunAnew = false
    /// The request went out in blocks.
    private var hasUploaded = false

    /// - Parameter tag: another one for each request of a connection.
    package init(_ request: Request, deadline: NIODeadline, tag: UInt64, settings: BlockSettings) {
        self.request = request
        self.deadline = deadline
        self.tag = tag
        self.settings = settings
    }

    // MARK: Events

    /// What to send first: the request itself, or the first block of its body.
    package mutating func begin(peer: PeerSettings, now: NIODeadline) -> Request {
        self.phase = .whole
        guard self.request.payload != nil, peer.blockWiseTransfer else { return self.request }
        let message = Message(
            code: self.request.method, token: Token(eightBytes: 0), options: self.visible(self.request.options),
            payload: self.request.payload)
        guard message.frameLength > peer.maximumMessageSize || self.settings.isAboveThreshold(self.request.payload),
            let first = self.part(at: 0, self.settings.largestExponent(with: peer), peer: peer, now: now)
        else { return self.request }
        return first
    }

    /// The peer answered the message sent last.
    package mutating func answered(_ response: Response, peer: PeerSettings, now: NIODeadline) -> BlockExchangeAction {
        self.wasAnswered = true
        switch self.phase {
        case .whole:
            return self.retriedSmaller(response, than: nil, peer, now) ?? self.beginFetching(response, peer, now)
        case .uploading(let upload):
            if let again = self.retriedSmaller(response, than: upload.sizeExponent, peer, now) { return again }
            if upload.isLast { return self.beginFetching(response, peer, now) }
            return self.goOn(uploading: upload, response, peer, now)
        case .fetching(let first):
            return self.goOn(behind: first, response, peer, now)
        }
    }

    /// The message sent last has no answer: what that means for the whole request.
    package func failed(_ error: ExchangeError) -> ExchangeError {
        if case .uploading(let upload) = self.phase, self.settings.isInternal {
            // Between our own programs nobody acts on a body before its last block.
            return ExchangeError(error.failure, delivered: upload.isLast && error.delivered)
        }
        guard self.wasAnswered else { return error }
        if error.failure == .closing, self.settings.isInternal, self.request.method == .get {
            // A question may be asked twice: another connection takes it from the beginning.
            return error
        }
        switch error.failure {
        case .timedOut, .connectionLost, .unusableResponse:
            return ExchangeError(error.failure, delivered: true)
        case .closing:
            // A part of it has gone out, so it must not be sent elsewhere as if nothing had.
            return ExchangeError(.connectionLost, delivered: true)
        case .queueFull, .tooLarge:
            return Self.broken("the next block could not be sent: \(error.failure)")
        }
    }

    private static func broken(_ why: String) -> ExchangeError {
        ExchangeError(.unusableResponse(.brokenBody(why)), delivered: true)
    }

    // MARK: The request's body

    /// The request with one block of its body. Nil if the peer's Max-Message-Size is too small for any.
    private mutating func part(
        at offset: Int, _ sizeExponent: UInt8, peer: PeerSettings, now: NIODeadline
    ) -> Request? {
        guard let body = self.request.payload else { return nil }
        var options = self.options(now: now)
        // RFC 9175 §3.4: two uploads to one resource must not be taken for one.
        options.set(.requestTag, uint: self.tag)
        if offset == 0 { options.set(.size1, uint: UInt64(body.readableBytes)) }
        var longest = self.visible(options)
        longest.block1 = BlockOption(number: BlockOption.maximumNumber, more: true, sizeExponent: BlockOption.bert)
        let room = Message(code: self.request.method, token: Token(eightBytes: 0), options: longest)
            .room(maximumMessageSize: peer.maximumMessageSize)
        guard let cut = BlockCut(sizeExponent, room: room, bertBytes: self.settings.limits.bertBytes) else {
            return nil
        }
        let end = min(offset + cut.length, body.readableBytes)
        guard
            let block = BlockOption(offset: offset, more: end < body.readableBytes, sizeExponent: cut.sizeExponent),
            let payload = body.getSlice(at: body.readerIndex + offset, length: end - offset)
        else { return nil }
        options.block1 = block
        self.hasUploaded = true
        self.phase = .uploading(Upload(end: end, sizeExponent: cut.sizeExponent, isLast: !block.more))
        return Request(self.request.method, options: options, payload: payload)
    }

    /// 4.13 with a smaller size than ours says that blocks of that size would do (RFC 7959 §2.9.3).
    private mutating func retriedSmaller(
        _ response: Response, than exponent: UInt8?, _ peer: PeerSettings, _ now: NIODeadline
    ) -> BlockExchangeAction? {
        guard response.code == .requestEntityTooLarge, let hint = response.options.block1,
            let body = self.request.payload,
            exponent.map({ hint.sizeExponent < $0 }) ?? (hint.unit < body.readableBytes),
            !hint.isBERT || self.settings.speaksBERT(with: peer),
            let part = self.part(at: 0, hint.sizeExponent, peer: peer, now: now)
        else { return nil }
        return .send(part)
    }

    private mutating func goOn(
        uploading upload: Upload, _ response: Response, _ peer: PeerSettings, _ now: NIODeadline
    ) -> BlockExchangeAction {
        // An error ends it: 4.08, 4.13 and all others are for whoever asked.
        guard response.code.isSuccess else { return self.beginFetching(response, peer, now) }
        let block = response.options.block1
        // 2.31; or the peer acts on each block as it comes (RFC 7959 §2.3), and says so with its Block1.
        guard response.code == .continue || block != nil else {
            return .fail(Self.broken("\(response.code) came before the last block was sent"))
        }
        // The peer may want the rest in smaller blocks (RFC 7959 §2.3), never in larger ones.
        let exponent = min(upload.sizeExponent, block?.sizeExponent ?? upload.sizeExponent)
        guard let part = self.part(at: upload.end, exponent, peer: peer, now: now) else {
            return .fail(Self.broken("the rest does not fit the peer's Max-Message-Size"))
        }
        return .send(part)
    }

    // MARK: The answer's body

    private mutating func beginFetching(
        _ response: Response, _ peer: PeerSettings, _ now: NIODeadline
    ) -> BlockExchangeAction {
        guard response.code != .continue else {
            return .fail(Self.broken("2.31 came, and there are no more blocks to send"))
        }
        guard let block = response.options.block2, block.more || block.number > 0 else {
            return .complete(Self.stripped(response))
        }
        guard block.number == 0 else { return .fail(Self.broken("block \(block.number) came first")) }
        var first = response
        first.payload = nil
        self.phase = .fetching(first: first)
        self.body = ByteBuffer()
        return self.goOn(behind: first, response, peer, now)
    }

    private mutating func goOn(
        behind first: Response, _ response: Response, _ peer: PeerSettings, _ now: NIODeadline
    ) -> BlockExchangeAction {
        let limit = self.settings.limits.bodyBytes
        guard response.code == first.code, let block = response.options.block2 else {
            return self.fetchFailed(response, peer, now)
        }
        // RFC 7959 §2.4: blocks of another body must not be put together with these.
        guard response.options.first(.eTag)?.value == first.options.first(.eTag)?.value,
            response.options.contentFormat == first.options.contentFormat
        else { return self.begunAnew(peer, now) ?? .fail(Self.broken("the body changed while it was fetched")) }
        let count = response.payload?.readableBytes ?? 0
        guard block.offset == self.body.readableBytes, block.holds(count),
            !block.isBERT || self.settings.speaksBERT(with: peer)
        else { return .fail(Self.broken("block \(block.number) of \(count) bytes is not the next one")) }
        guard self.body.readableBytes + count + (block.more ? 1 : 0) <= limit,
            response.options.announcedSize(.size2) ?? 0 <= UInt64(limit)
        else { return .fail(Self.broken("the body has more than \(limit) bytes")) }
        if let payload = response.payload { self.body.writeImmutableBuffer(payload) }
        guard block.more else {
            var whole = Self.stripped(first)
            whole.payload = self.body
            return .complete(whole)
        }
        guard let next = BlockOption(offset: self.body.readableBytes, more: false, sizeExponent: block.sizeExponent)
        else { return .fail(Self.broken("the blocks have no number any more")) }
        return .send(self.ask(for: next, of: first, now: now))
    }

    private func ask(for block: BlockOption, of first: Response, now: NIODeadline) -> Request {
        var options = self.options(now: now)
        // RFC 7959 §2.6: an observation is not registered again by asking for the rest of a notification.
        options.observe = nil
        options.removeAll(.size1)
        // RFC 9175 §3.3: what belongs to one operation bears one tag.
        if self.hasUploaded { options.set(.requestTag, uint: self.tag) }
        if self.settings.isInternal { options.bodyTag = first.options.bodyTag }
        options.block2 = block
        return Request(self.request.method, options: options)
    }

    /// Something else came than the next block.
    private mutating func fetchFailed(
        _ response: Response, _ peer: PeerSettings, _ now: NIODeadline
    ) -> BlockExchangeAction {
        if response.code == .requestEntityIncomplete, let again = self.begunAnew(peer, now) { return again }
        // What went wrong with a question that changes nothing is its answer. All else was done already.
        if self.request.method == .get, !self.settings.isInternal, !response.code.isSuccess {
            return .complete(Self.stripped(response))
        }
        return .fail(Self.broken("\(response.code) came in place of the next block"))
    }

    /// Once, and only what may be done twice.
    private mutating func begunAnew(_ peer: PeerSettings, _ now: NIODeadline) -> BlockExchangeAction? {
        guard self.request.method == .get, !self.hasBegunAnew else { return nil }
        self.hasBegunAnew = true
        return .send(self.begin(peer: peer, now: now))
    }

    // MARK: Options

    /// The request's, with the time that is left by now.
    private func options(now: NIODeadline) -> Options {
        var options = self.request.options
        if options.deadlineMilliseconds != nil {
            options.deadlineMilliseconds = UInt32(clamping: max(0, (self.deadline - now).nanoseconds / 1_000_000))
        }
        return options
    }

    /// Those that are sent.
    private func visible(_ options: Options) -> Options {
        var options = options
        if !self.settings.isInternal { options.removeInternal() }
        return options
    }

    private static func stripped(_ response: Response) -> Response {
        var response = response
        response.options.removeBlockwise()
        return response
    }
}

package enum BlockExchangeAction: Hashable, Sendable {
    case send(Request)
    case complete(Response)
    case fail(ExchangeError)
}
