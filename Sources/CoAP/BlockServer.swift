package import NIOCore

/// Block-wise transfers of requests that a peer sends, without input or output: who answers them sees whole bodies only
/// (RFC 7959, RFC 8323 §6).
///
/// It stands between the connection machine and whoever answers. It puts uploads together, cuts answers that are too
/// large or asked for in blocks, and keeps what is left of them for a while. A peer that neither announced block-wise
/// transfers nor used them is never sent a block.
package struct BlockServer: ~Copyable {
    /// A request that is being answered.
    private struct Asked {
        /// Without its payload, which may be large.
        let request: Request
        /// The last block of an upload.
        let block1: BlockOption?
        /// The block the peer wants.
        let block2: BlockOption?
    }

    private let settings: BlockSettings
    private var uploads: BlockUploads
    private var answers: KeptAnswers
    private var asked: [IncomingID: Asked] = [:]
    private var peerUsesBlocks = false
    private var lastTag: UInt64 = 0

    package init(_ settings: BlockSettings) {
        self.settings = settings
        self.uploads = BlockUploads(settings)
        self.answers = KeptAnswers(settings)
    }

    /// What is kept at the moment, in bytes of bodies.
    package var bytes: Int { self.uploads.bytes + self.answers.bytes }
    package var uploadCount: Int { self.uploads.count }
    package var keptCount: Int { self.answers.count }
    package var askedCount: Int { self.asked.count }

    // MARK: Requests

    package mutating func received(
        _ request: Request, id: IncomingID, peer: PeerSettings, now: NIODeadline
    ) -> BlockRequestAction {
        let block1 = request.options.block1
        let block2 = request.options.block2
        guard block1 != nil || block2 != nil else {
            if peer.blockWiseTransfer || self.peerUsesBlocks { self.note(request, id, nil, nil) }
            return .handle(request)
        }
        self.peerUsesBlocks = true
        if block1?.isBERT == true || block2?.isBERT == true, !self.settings.speaksBERT(with: peer) {
            return self.refuse(.badRequest, "SZX 7 (BERT) was not announced by both ends (RFC 8323 §6)")
        }
        var whole = request
        if let block1 {
            switch self.uploads.received(request, block1, now: now) {
            case .whole(let body): whole.payload = body
            case .wantsMore:
                var next = Response(.continue)
                next.options.block1 = block1
                return .answer(next)
            case .refused(let refusal): return self.refuse(refusal, block1)
            }
            whole.options.removeAll { $0 == .size1 || $0 == .requestTag }
        } else if let block2, block2.number > 0, let answer = self.follow(request, block2, peer) {
            return .answer(answer)
        }
        whole.options.removeBlockwise()
        if block2?.number ?? 0 > 0 {
            // RFC 7959 §2.6: whoever asks for the rest of a notification does not register.
            whole.options.observe = nil
        }
        self.note(request, id, block1, block2)
        return .handle(whole)
    }

    private mutating func note(_ request: Request, _ id: IncomingID, _ block1: BlockOption?, _ block2: BlockOption?) {
        self.asked[id] = Asked(
            request: Request(request.method, options: request.options), block1: block1, block2: block2)
    }

    /// The answer to a request for the rest of a body. Nil if it has to be asked for anew.
    ///
    /// Unspecified: what is not kept any more is asked for again where that does no harm and the peer can tell the new
    /// body from the old by its ETag: with GET. All else would be done twice, so it is 4.08, and the peer has to begin
    /// anew of its own accord.
    private mutating func follow(_ request: Request, _ block: BlockOption, _ peer: PeerSettings) -> Response? {
        let tag = self.settings.isInternal ? request.options.bodyTag : nil
        let kept = tag.map { self.answers.answer(tagged: $0) } ?? self.answers.answer(to: BlockKey(request))
        guard let kept else {
            if tag == nil, request.method == .get { return nil }
            return Response(
                .requestEntityIncomplete,
                diagnostic: "the body is not kept any more: ask for it again (RFC 7959 §2.9.2)")
        }
        guard let answer = self.block(block, of: kept.body, head: kept.head, peer) else {
            return Self.noBlock(block, of: kept.body)
        }
        if self.settings.isInternal, answer.options.block2?.more == false { self.answers.drop(tagged: kept.tag) }
        return answer
    }

    private func refuse(_ refusal: BlockUploads.Refusal, _ block: BlockOption) -> BlockRequestAction {
        switch refusal {
        case .malformed:
            return self.refuse(.badRequest, "the payload is not as large as its Block1 says (RFC 7959 §2.3)")
        case .incomplete:
            return self.refuse(
                .requestEntityIncomplete, "block \(block.number) does not continue a body: begin at 0 (RFC 7959 §2.9.2)"
            )
        case .tooLarge:
            return self.refuse(
                .requestEntityTooLarge, "a body may have \(self.settings.limits.bodyBytes) bytes (RFC 7959 §2.9.3)",
                .tooLarge)
        case .busy:
            return self.refuse(.serviceUnavailable, "too many uploads of this connection are under way", .queueFull)
        }
    }

    /// Between our own programs it has to be told from an answer of the device: the body never got there.
    private func refuse(_ code: Code, _ text: String, _ undelivered: Undelivered = .unreachable) -> BlockRequestAction {
        var response = Response(code, diagnostic: text, maxAge: code == .serviceUnavailable ? 1 : nil)
        if code == .requestEntityTooLarge {
            response.options.set(.size1, uint: UInt64(self.settings.limits.bodyBytes))
        }
        if self.settings.isInternal { response.options.undelivered = undelivered }
        return .answer(response)
    }

    // MARK: Answers

    /// What to write in place of an answer: itself, or one block of it.
    package mutating func answering(
        _ id: IncomingID, _ response: Response, peer: PeerSettings, now: NIODeadline
    ) -> Response {
        guard let asked = self.asked[id] else { return response }
        let isRegistered = asked.request.options.observe == 0 && response.options.observe != nil
        if !isRegistered || !response.code.isSuccess {
            // The last answer to it (RFC 7641 §4.2).
            self.forget(id)
        }
        var head = response
        head.payload = nil
        if !self.settings.isInternal { head.options.removeInternal() }
        head.options.removeBlockwise()
        head.options.block1 = asked.block1
        guard let body = response.payload else { return head }
        if asked.request.options.contains(.size2) {
            // RFC 7959 §4: it was asked for.
            head.options.set(.size2, uint: UInt64(body.readableBytes))
        }
        var whole = head
        whole.payload = body
        switch self.need(for: whole, asked.block2, peer) {
        case .no: return whole
        case .yes(let mustCut): return self.cut(head, body, asked, mustCut: mustCut, peer, now) ?? whole
        }
    }

    private enum Need {
        case no
        /// If it must, the whole answer fits nowhere or is not what was asked for.
        case yes(mustCut: Bool)
    }

    private func need(for whole: Response, _ wanted: BlockOption?, _ peer: PeerSettings) -> Need {
        if wanted != nil, whole.code.isSuccess { return .yes(mustCut: true) }
        guard peer.blockWiseTransfer || self.peerUsesBlocks else { return .no }
        let message = Message(
            code: whole.code, token: Token(eightBytes: 0), options: whole.options, payload: whole.payload)
        if message.frameLength + self.settings.longerToken > peer.maximumMessageSize { return .yes(mustCut: true) }
        return self.settings.isAboveThreshold(whole.payload) ? .yes(mustCut: false) : .no
    }

    /// The block of this answer that goes out now; the rest is kept. Nil if it cannot be cut, or need not and there is
    /// no room to keep it.
    private mutating func cut(
        _ head: Response, _ body: ByteBuffer, _ asked: Asked, mustCut: Bool, _ peer: PeerSettings, _ now: NIODeadline
    ) -> Response? {
        guard mustCut || self.answers.hasRoom(for: body) else { return nil }
        let wanted =
            asked.block2 ?? BlockOption(number: 0, more: false, sizeExponent: self.settings.largestExponent(with: peer))
        let untagged = head
        var head = head
        var tag: UInt64 = 0
        if self.settings.isInternal {
            self.lastTag += 1
            tag = self.lastTag
            head.options.bodyTag = tag
        } else if head.options.first(.eTag) == nil, head.code.isSuccess {
            head.options.append(.eTag, bytes: Self.tag(of: body))
        }
        guard var first = self.block(wanted, of: body, head: head, peer), let block = first.options.block2 else {
            return wanted.number > 0 ? Self.noBlock(wanted, of: body) : nil
        }
        guard block.more || block.number > 0 else {
            // All of it fits the block that was asked for: nothing is left, and nothing has to be told apart.
            var whole = untagged
            whole.payload = body
            whole.options.block2 = asked.block2.map { _ in block }
            return whole
        }
        // RFC 7959 §4: whoever gets the first block may want to know how much there is.
        first.options.set(.size2, uint: UInt64(body.readableBytes))
        // What only the first block says is not said again.
        head.options.removeAll { $0 == .observe || $0 == .block1 || $0 == .size2 }
        let answer = KeptAnswers.Answer(
            key: BlockKey(asked.request), tag: tag, head: head, body: Self.compact(body),
            until: now + self.settings.limits.keptFor)
        guard self.answers.keep(answer) else { return nil }
        return first
    }

    /// One block of an answer. Nil if there is none: it begins behind the end, or the peer's Max-Message-Size is too
    /// small for any.
    private func block(_ wanted: BlockOption, of body: ByteBuffer, head: Response, _ peer: PeerSettings) -> Response? {
        let offset = wanted.offset
        guard offset < body.readableBytes else { return nil }
        var response = head
        // The longest it can be.
        response.options.block2 = BlockOption(
            number: BlockOption.maximumNumber, more: true, sizeExponent: BlockOption.bert)
        var options = response.options
        options.set(.size2, uint: UInt64(body.readableBytes))
        let message = Message(code: head.code, token: Token(eightBytes: 0), options: options)
        let room = message.room(maximumMessageSize: peer.maximumMessageSize) - self.settings.longerToken
        guard let cut = BlockCut(wanted.sizeExponent, room: room, bertBytes: self.settings.limits.bertBytes) else {
            return nil
        }
        let length = min(cut.length, body.readableBytes - offset)
        guard
            let block = BlockOption(
                offset: offset, more: offset + length < body.readableBytes, sizeExponent: cut.sizeExponent),
            let payload = body.getSlice(at: body.readerIndex + offset, length: length),
            // Else it could not be asked for to its end.
            (body.readableBytes - 1) / block.unit <= BlockOption.maximumNumber
        else { return nil }
        response.options.block2 = block
        response.payload = payload
        return response
    }

    /// Unspecified: a block behind the end is 4.00.
    private static func noBlock(_ block: BlockOption, of body: ByteBuffer) -> Response {
        guard block.offset >= body.readableBytes else {
            return Response(.internalServerError, diagnostic: "your Max-Message-Size has no room for a block")
        }
        return Response(
            .badRequest,
            diagnostic: "block \(block.number) of \(block.unit) bytes is not in a body of \(body.readableBytes) bytes")
    }

    /// Eight bytes that tell one body from another (RFC 7959 §2.4). They hold for the life of this process, which is
    /// longer than any answer is kept.
    private static func tag(of body: ByteBuffer) -> [UInt8] {
        var hasher = Hasher()
        body.withUnsafeReadableBytes { hasher.combine(bytes: $0) }
        let hash = UInt64(bitPattern: Int64(hasher.finalize()))
        return stride(from: 0, to: 64, by: 8).map { UInt8(truncatingIfNeeded: hash >> UInt64($0)) }
    }

    /// The same bytes, without all those they arrived with.
    private static func compact(_ body: ByteBuffer) -> ByteBuffer {
        body.storageCapacity > 2 * body.readableBytes ? ByteBuffer(bytes: body.readableBytesView) : body
    }

    // MARK: The end

    /// The request will not be answered any more.
    package mutating func forget(_ id: IncomingID) {
        self.asked[id] = nil
        // Emptied it would keep its memory, and most connections are idle most of the time.
        if self.asked.isEmpty { self.asked = [:] }
    }

    /// When something kept is over; nil if nothing is kept.
    package var nextDeadline: NIODeadline? {
        [self.uploads.nextDeadline, self.answers.nextDeadline].compactMap { $0 }.min()
    }

    package mutating func expire(now: NIODeadline) {
        self.uploads.expire(now: now)
        self.answers.expire(now: now)
    }

    /// The connection is gone.
    package mutating func closed() {
        self.uploads.removeAll()
        self.answers.removeAll()
        self.asked = [:]
    }
}

package enum BlockRequestAction: Hashable, Sendable {
    /// This is all of it: whoever answers may have it.
    case handle(Request)
    /// Answered at once.
    case answer(Response)
}
