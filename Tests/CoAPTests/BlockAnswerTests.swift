import CoAP
import NIOCore
import Testing

/// Answers that go out in blocks (RFC 7959 §2.4).
struct BlockAnswerTests {
    static let get = Request(.get, path: ["a"])

    /// Fetches what follows the first block as the peer would.
    static func rest(
        of first: Response, _ request: Request, _ bench: ServerBench
    ) throws -> (body: ByteBuffer, blocks: Int) {
        var all = try #require(first.payload)
        var last = first
        var blocks = 1
        while let block = last.options.block2, block.more {
            let next = try #require(
                BlockOption(offset: all.readableBytes, more: false, sizeExponent: block.sizeExponent))
            last = try bench.answered(request.block2(next.number, next.sizeExponent))
            #expect(last.code == first.code)
            #expect(last.options.first(.eTag) == first.options.first(.eTag))
            #expect(last.options.block2?.number == next.number)
            all.writeImmutableBuffer(try #require(last.payload))
            blocks += 1
        }
        return (all, blocks)
    }

    @Test("RFC 7959 §2.4: an answer asked for in blocks comes in blocks of that size, with ETag and Size2")
    func asked() throws {
        let bench = ServerBench(peer: PeerSettings())
        let first = try bench.first(Self.get.block2(0, 2), body(1000))
        #expect(first.options.block2 == BlockOption(0, true, 2))
        #expect(first.options.first(.size2)?.uint == 1000)
        #expect(first.options.first(.eTag)?.value.readableBytes == 8)
        let (all, blocks) = try Self.rest(of: first, Self.get, bench)
        #expect(all == body(1000))
        #expect(blocks == 16)
    }

    @Test("RFC 7959 §2.4: what fits the block that was asked for is whole, and nothing is kept")
    func fits() throws {
        let bench = ServerBench()
        let first = try bench.first(Self.get.block2(0, 2), body(64))
        #expect(first.payload == body(64))
        #expect(first.options.block2 == BlockOption(0, false, 2))
        #expect(first.options.count == 1)
        #expect(bench.server.bytes == 0)
    }

    @Test("C-19: an answer above the peer's Max-Message-Size goes in blocks if the peer announced them")
    func announced() throws {
        let bench = ServerBench()
        #expect(try bench.first(Self.get, body(1100)).options.block2 == nil)
        let first = try bench.first(Self.get, body(5000))
        #expect(first.options.block2 == BlockOption(0, true, 6))
        let message = Message(
            code: first.code, token: Token(eightBytes: 0), options: first.options, payload: first.payload)
        #expect(message.frameLength <= 1152)
        #expect(try Self.rest(of: first, Self.get, bench).body == body(5000))
    }

    @Test("C-19: a peer that neither announced nor used blocks is never sent one")
    func neither() throws {
        let bench = ServerBench(peer: .said(1152, blockWise: false))
        let answer = Response(.content, payload: body(5000))
        #expect(bench.answer(try bench.handled(Self.get).id, answer) == answer)
        #expect(bench.server.askedCount == 0)
        // It uses them: from here on it is known to.
        _ = try bench.first(Request(.get, path: ["b"]).block2(0, 6), body(10))
        #expect(bench.answer(try bench.handled(Self.get).id, answer).options.block2 == BlockOption(0, true, 6))
    }

    @Test("RFC 8323 §6: BERT carries as much as fits, in units of 1024")
    func bert() throws {
        let bench = ServerBench(peer: .said(10_000))
        let first = try bench.first(Self.get, body(50_000))
        #expect(first.options.block2 == BlockOption(0, true, 7))
        #expect(first.payload?.readableBytes == 9 * 1024)
        let (all, blocks) = try Self.rest(of: first, Self.get, bench)
        #expect(all == body(50_000))
        #expect(blocks == 6)
        #expect(try bench.first(Self.get.block2(0, 7), body(9000)).options.block2 == BlockOption(0, false, 7))
    }

    @Test("BI-10: blocks get as small as the peer's Max-Message-Size wants, down to 16 bytes")
    func small() throws {
        let bench = ServerBench(peer: .said(80))
        let first = try bench.first(Self.get, body(300))
        #expect(first.options.block2 == BlockOption(0, true, 1))
        #expect(try Self.rest(of: first, Self.get, bench).body == body(300))
        // No room for any: the connection machine makes its small 5.00 of it.
        let tiny = ServerBench(peer: .said(40))
        #expect(try tiny.first(Self.get, body(300)).options.block2 == nil)
        #expect(tiny.server.bytes == 0)
    }

    @Test("RFC 7959 §2.4: any block may be asked for in any order, in smaller sizes as well; behind the end is 4.00")
    func random() throws {
        let bench = ServerBench()
        _ = try bench.first(Self.get.block2(0, 4), body(1000))
        #expect(try bench.answered(Self.get.block2(3, 4)).payload == body(1000).getSlice(at: 768, length: 232))
        #expect(try bench.answered(Self.get.block2(1, 4)).payload == body(1000).getSlice(at: 256, length: 256))
        #expect(try bench.answered(Self.get.block2(62, 0)).payload == body(1000).getSlice(at: 992, length: 8))
        for (number, exponent) in [(4, 4), (63, 0), (0xFFFFF, 6)] as [(Int, UInt8)] {
            #expect(try bench.answered(Self.get.block2(number, exponent)).code == .badRequest)
        }
    }

    @Test("RFC 7959 §2.4: a first request for a later block is answered with it")
    func later() throws {
        let bench = ServerBench()
        let (id, request) = try bench.handled(Self.get.block2(2, 0))
        #expect(request == Self.get)
        let answer = bench.answer(id, Response(.content, payload: body(40)))
        #expect(answer.options.block2 == BlockOption(2, false, 0))
        #expect(answer.payload == body(40).getSlice(at: 32, length: 8))
        let none = try bench.handled(Request(.get, path: ["b"]).block2(3, 0)).id
        #expect(bench.answer(none, Response(.content, payload: body(48))).code == .badRequest)
    }

    @Test("BI-25: an expired body is asked for again with GET, and 4.08 with what must not be done twice")
    func expired() throws {
        let bench = ServerBench()
        let post = Request(.post, path: ["a"])
        let old = try bench.first(Self.get.block2(0, 0), body(100))
        _ = try bench.first(post.block2(0, 0), body(100), code: .changed)
        #expect(bench.server.keptCount == 2)
        bench.pass(.seconds(60))
        #expect(bench.server.bytes == 0)
        #expect(bench.server.nextDeadline == nil)
        #expect(try bench.answered(post.block2(1, 0)).code == .requestEntityIncomplete)
        let again = bench.answer(try bench.handled(Self.get.block2(1, 0)).id, Response(.content, payload: body(100)))
        #expect(again.options.block2 == BlockOption(1, true, 0))
        #expect(again.options.first(.eTag) == old.options.first(.eTag))
        bench.pass(.seconds(60))
        let changed = bench.answer(try bench.handled(Self.get.block2(1, 0)).id, Response(.content, payload: body(99)))
        #expect(changed.options.first(.eTag) != old.options.first(.eTag))
    }

    @Test("BI-25: of two bodies interleaved on one path the newer is served, and its ETag says so")
    func interleaved() throws {
        let bench = ServerBench()
        let older = try bench.first(Self.get.block2(0, 0), body(100))
        let newer = try bench.first(Self.get.block2(0, 0), ByteBuffer(repeating: 1, count: 100))
        #expect(older.options.first(.eTag) != newer.options.first(.eTag))
        #expect(bench.server.keptCount == 1)
        let next = try bench.answered(Self.get.block2(1, 0))
        #expect(next.options.first(.eTag) == newer.options.first(.eTag))
        #expect(next.payload == ByteBuffer(repeating: 1, count: 16))
        // With Request-Tag both can be had (RFC 9175 §3.3).
        let tagged = try bench.first(Self.get.tagged(1).block2(0, 0), body(100))
        _ = try bench.handled(Self.get.tagged(2).block2(1, 0))
        #expect(try Self.rest(of: tagged, Self.get.tagged(1), bench).body == body(100))
    }

    @Test("The ETag of the resource itself is left as it is, and so are the other options of the answer")
    func eTag() throws {
        let bench = ServerBench()
        var answer = Response(.content, payload: body(40))
        answer.options.append(.eTag, bytes: [1, 2])
        answer.options.contentFormat = .cbor
        answer.options.maxAge = 7
        let first = bench.answer(try bench.handled(Self.get.block2(0, 0)).id, answer)
        let next = try bench.answered(Self.get.block2(1, 0))
        for response in [first, next] {
            #expect(response.options.first(.eTag)?.bytes == [1, 2])
            #expect(response.options.contentFormat == .cbor)
            #expect(response.options.maxAge == 7)
        }
        #expect(next.options.first(.size2) == nil)
    }

    @Test("BI-24: four bodies are kept, within their bytes; the oldest goes first")
    func kept() throws {
        let bench = ServerBench(ServerBench.limited(1000))
        for index in 0..<1000 {
            _ = try bench.first(Request(.post, path: ["\(index)"]).block2(0, 0), body(900), code: .changed)
            #expect(bench.server.bytes <= 3600)
        }
        #expect(bench.server.keptCount == 4)
        #expect(
            try bench.answered(Request(.post, path: ["995"]).block2(1, 0)).code == .requestEntityIncomplete)
        #expect(try bench.answered(Request(.post, path: ["996"]).block2(1, 0)).code == .changed)
        // Larger than all that may be kept: not cut, and for the connection machine to refuse.
        #expect(try bench.first(Request(.post, path: ["x"]), body(4001), code: .changed).options.block2 == nil)
        bench.pass(.seconds(60))
        #expect(bench.server.bytes == 0)
    }

    @Test("RFC 7959 §3.3: the answer to an upload may come in blocks as well")
    func both() throws {
        let bench = ServerBench()
        let post = Request(.post, path: ["a"])
        _ = try bench.answered(post.block1(0, more: true, 0, body(16)))
        let (id, request) = try bench.handled(post.block1(1, more: false, 0, body(4)).block2(0, 1))
        #expect(request.payload?.readableBytes == 20)
        #expect(request.options.count == 1)
        let first = bench.answer(id, Response(.changed, payload: body(100)))
        #expect(first.options.block1 == BlockOption(1, false, 0))
        #expect(first.options.block2 == BlockOption(0, true, 1))
        #expect(try bench.answered(post.block2(1, 1)).options.block1 == nil)
        #expect(try Self.rest(of: first, post, bench).body == body(100))
    }

    @Test("RFC 7959 §4: Size2 is told to whoever asks for it")
    func size() throws {
        let bench = ServerBench()
        var request = Self.get
        request.options.append(.size2, uint: 0)
        #expect(try bench.first(request, body(10)).options.first(.size2)?.uint == 10)
    }

    @Test("RFC 7959 §2.6: notifications keep their Observe in the first block; the rest is fetched without registering")
    func observe() throws {
        let bench = ServerBench()
        var register = Self.get
        register.options.observe = 0
        let id = try bench.handled(register).id
        for sequence in 2...4 as ClosedRange<UInt32> {
            var notification = Response(.content, payload: body(2000 + Int(sequence)))
            notification.options.observe = sequence
            let first = bench.answer(id, notification)
            #expect(first.options.observe == sequence)
            #expect(first.options.block2 == BlockOption(0, true, 6))
            #expect(try bench.answered(Self.get.block2(1, 6)).options.observe == nil)
            #expect(try Self.rest(of: first, Self.get, bench).body == body(2000 + Int(sequence)))
        }
        #expect(bench.server.askedCount == 1)
        #expect(try bench.handled(Request(.get, path: ["b"]).block2(1, 6)).request.options.observe == nil)
        bench.forget(id)
        #expect(bench.server.askedCount == 1)
        let other = try bench.handled(register).id
        // An error is the last word (RFC 7641 §4.2).
        _ = bench.answer(other, Response(.notFound))
        #expect(bench.server.askedCount == 1)
    }

    // MARK: Between our own programs

    static func hop(_ change: (inout BlockLimits) -> Void = { _ in }) -> ServerBench {
        var limits = BlockLimits(bodyBytes: 1 << 20)
        limits.threshold = 16 << 10
        change(&limits)
        return ServerBench(
            ConnectionConfiguration(
                limits: FrameLimits(maximumMessageSize: 1 << 20), keepalive: nil, isInternal: true, blocks: limits),
            peer: .said(1 << 20))
    }

    @Test("Between our own programs bodies above 16 KiB go in blocks, and are told apart by a tag of their own")
    func internalTags() throws {
        let bench = Self.hop()
        #expect(try bench.first(Self.get, body(16 << 10)).options.count == 0)
        let one = try bench.first(Self.get, body(40_000))
        let two = try bench.first(Self.get, ByteBuffer(repeating: 2, count: 40_000))
        #expect(one.payload?.readableBytes == 16 << 10)
        #expect(one.options.first(.eTag) == nil)
        #expect(one.options.bodyTag != two.options.bodyTag)
        for (first, expected) in [(one, body(40_000)), (two, ByteBuffer(repeating: 2, count: 40_000))] {
            var request = Self.get
            request.options.bodyTag = first.options.bodyTag
            request.options.deadlineMilliseconds = UInt32.random(in: 1...1000)
            #expect(try Self.rest(of: first, request, bench).body == expected)
            // Fetched to the end it is not kept any more, and is not asked for again behind the asker's back.
            #expect(try bench.answered(request.block2(16, 7)).code == .requestEntityIncomplete)
        }
        #expect(bench.server.bytes == 0)
    }

    @Test("Between our own programs nothing is given up for another body: it goes in one message if there is no room")
    func internalRoom() throws {
        let bench = Self.hop { $0.keptAnswers = 2 }
        for _ in 0..<2 { #expect(try bench.first(Self.get, body(40_000)).options.block2 != nil) }
        #expect(try bench.first(Self.get, body(40_000)).payload?.readableBytes == 40_000)
        #expect(bench.server.keptCount == 2)
    }
}
