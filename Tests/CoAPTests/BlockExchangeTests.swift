import CoAP
import NIOCore
import Testing

/// Requests of ours that take more than one message (RFC 7959).
struct BlockExchangeTests {
    static let get = Request(.get, path: ["a"])
    static func post(_ count: Int) -> Request { Request(.post, path: ["a"], payload: body(count)) }

    // MARK: The request's body

    @Test("What fits goes as it is, and so does everything to a peer that announced no blocks")
    func whole() {
        var small = ExchangeBench(Self.post(1000))
        #expect(small.begin() == Self.post(1000))
        var silent = ExchangeBench(Self.post(5000), peer: PeerSettings())
        #expect(silent.begin() == Self.post(5000))
        var without = ExchangeBench(Self.post(5000), peer: .said(1152, blockWise: false))
        #expect(without.begin() == Self.post(5000))
    }

    @Test("RFC 7959 §2.5: a body that does not fit goes block by block, with Size1 in the first and a Request-Tag")
    func upload() throws {
        var bench = ExchangeBench(Self.post(2500))
        var part = bench.begin()
        #expect(part.options.first(.size1)?.uint == 2500)
        #expect(part.options.block1 == BlockOption(0, true, 6))
        var all = try #require(part.payload)
        for number in 1...2 {
            part = try bench.answer(.continue, block1: part.options.block1).sent()
            #expect(part.options.block1 == BlockOption(number, number < 2, 6))
            #expect(part.options.first(.requestTag)?.uint == 7)
            #expect(part.options.first(.size1) == nil)
            #expect(part.options.path == ["a"])
            all.writeImmutableBuffer(try #require(part.payload))
        }
        #expect(all == body(2500))
        let answer = try bench.answer(.changed, block1: part.options.block1, payload: body(3)).completed()
        #expect(answer == Response(.changed, payload: body(3)))
    }

    @Test("RFC 8323 §6: with BERT a message carries 16 KiB at most")
    func bert() throws {
        var bench = ExchangeBench(Self.post(100_000), peer: .bert)
        var part = bench.begin()
        #expect(part.options.block1 == BlockOption(0, true, 7))
        #expect(part.payload?.readableBytes == 16 << 10)
        part = try bench.answer(.continue, block1: part.options.block1).sent()
        #expect(part.options.block1 == BlockOption(16, true, 7))
    }

    @Test("RFC 7959 §2.3: a smaller size in the 2.31 is taken for the rest, a larger one is not")
    func smaller() throws {
        var bench = ExchangeBench(Self.post(3000))
        _ = bench.begin()
        let second = try bench.answer(.continue, block1: BlockOption(0, true, 2)).sent()
        #expect(second.options.block1 == BlockOption(16, true, 2))
        #expect(second.payload == body(3000).getSlice(at: 1024, length: 64))
        let third = try bench.answer(.continue, block1: BlockOption(16, true, 6)).sent()
        #expect(third.options.block1 == BlockOption(17, true, 2))
    }

    @Test("RFC 7959 §2.9.3: 4.13 with a smaller size begins anew with it, one without is the answer")
    func tooLarge() throws {
        var bench = ExchangeBench(Self.post(3000))
        _ = bench.begin()
        let again = try bench.answer(.requestEntityTooLarge, block1: BlockOption(0, true, 3)).sent()
        #expect(again.options.block1 == BlockOption(0, true, 3))
        #expect(
            try bench.answer(.requestEntityTooLarge, block1: BlockOption(0, true, 3)).completed().code
                == .requestEntityTooLarge)
        var whole = ExchangeBench(Self.post(1000))
        _ = whole.begin()
        #expect(try whole.answer(.requestEntityTooLarge, block1: BlockOption(0, false, 4)).sent().payload == body(256))
        var plain = ExchangeBench(Self.post(1000))
        _ = plain.begin()
        #expect(try plain.answer(.requestEntityTooLarge).completed().code == .requestEntityTooLarge)
    }

    @Test(
        "RFC 7959 §2.9: an error in the middle is the answer",
        arguments: [.requestEntityIncomplete, .notFound, .serviceUnavailable] as [Code])
    func errorInTheMiddle(code: Code) throws {
        var bench = ExchangeBench(Self.post(3000))
        _ = bench.begin()
        #expect(
            try bench.answer(code, block1: BlockOption(0, true, 6), payload: body(4)).completed()
                == Response(code, payload: body(4)))
    }

    @Test(
        "RFC 7959 §2.3: a peer that acts on each block as it comes is sent the next; a success without Block1 is none")
    func notAtomic() throws {
        var bench = ExchangeBench(Self.post(3000))
        _ = bench.begin()
        #expect(try bench.answer(.changed, block1: BlockOption(0, false, 6)).sent().options.block1?.number == 1)
        var other = ExchangeBench(Self.post(3000))
        _ = other.begin()
        try other.answer(.changed).broken()
    }

    @Test("2.31 to the last block, or to a request without blocks, is no answer")
    func continueAtTheEnd() throws {
        var bench = ExchangeBench(Self.get)
        _ = bench.begin()
        try bench.answer(.continue).broken()
    }

    @Test("A peer that lowers its Max-Message-Size midway gets smaller blocks")
    func lowered() throws {
        var bench = ExchangeBench(Self.post(3000))
        _ = bench.begin()
        bench.peer = .said(200)
        #expect(try bench.answer(.continue).sent().options.block1 == BlockOption(8, true, 3))
        bench.peer = .said(20)
        try bench.answer(.continue).broken()
    }

    @Test("Between our own programs each block carries the fence and the time that is left")
    func internalOptions() throws {
        var request = Self.post(40_000)
        request.options.fence = Fence(epoch: 3, uid: "u")
        request.options.deadlineMilliseconds = 20_000
        var limits = BlockLimits(bodyBytes: 1 << 20)
        limits.threshold = 16 << 10
        var bench = ExchangeBench(
            request, ConnectionConfiguration(keepalive: nil, isInternal: true, blocks: limits), peer: .said(1 << 20))
        #expect(bench.begin().options.deadlineMilliseconds == 20_000)
        bench.now = bench.now + .seconds(5)
        let second = try bench.answer(.continue).sent()
        #expect(second.options.fence == Fence(epoch: 3, uid: "u"))
        #expect(second.options.deadlineMilliseconds == 15_000)
        #expect(second.options.block1 == BlockOption(16, true, 7))
    }

    // MARK: How far it came

    @Test("As long as no answer came, a failure is what the connection says it is")
    func firstFailure() {
        var bench = ExchangeBench(Self.post(3000))
        _ = bench.begin()
        for delivered in [true, false] {
            let error = bench.fail(.connectionLost, delivered: delivered)
            #expect(error == ExchangeError(.connectionLost, delivered: delivered))
        }
        #expect(bench.fail(.queueFull, delivered: false) == ExchangeError(.queueFull, delivered: false))
    }

    @Test("Once a block was answered, no failure says that nothing was delivered, or could be sent elsewhere")
    func laterFailure() throws {
        var bench = ExchangeBench(Self.post(3000))
        _ = bench.begin()
        _ = try bench.answer(.continue).sent()
        let failures: [ExchangeFailure] = [
            .timedOut, .connectionLost, .closing, .queueFull, .tooLarge(size: 2, maximum: 1),
        ]
        for failure in failures {
            let error = bench.fail(failure, delivered: false)
            #expect(error.delivered)
            switch error.failure {
            case .timedOut, .connectionLost, .unusableResponse: break
            case .closing, .queueFull, .tooLarge: Issue.record("\(failure) became \(error)")
            }
        }
    }

    @Test("Between our own programs a body that is not whole was not delivered, until its last block is sent")
    func internalFailure() throws {
        var limits = BlockLimits(bodyBytes: 1 << 20)
        limits.threshold = 1024
        var bench = ExchangeBench(
            Self.post(3000), ConnectionConfiguration(keepalive: nil, isInternal: true, blocks: limits), peer: .plain)
        _ = bench.begin()
        _ = try bench.answer(.continue).sent()
        #expect(bench.fail(.closing, delivered: false) == ExchangeError(.closing, delivered: false))
        #expect(bench.fail(.connectionLost, delivered: true) == ExchangeError(.connectionLost, delivered: false))
        _ = try bench.answer(.continue).sent()
        #expect(bench.fail(.connectionLost, delivered: true) == ExchangeError(.connectionLost, delivered: true))
        // The last block did not get out.
        #expect(bench.fail(.closing, delivered: false) == ExchangeError(.closing, delivered: false))
        // A question may be asked again, on another connection.
        var question = ExchangeBench(Self.get, .internal)
        _ = question.begin()
        _ = try question.answer(.content, block2: BlockOption(0, true, 0), payload: body(16)).sent()
        #expect(question.fail(.closing, delivered: false) == ExchangeError(.closing, delivered: false))
    }

    // MARK: The answer's body

    @Test("RFC 7959 §2.4: an answer in blocks is fetched to its end, and is one answer")
    func fetch() throws {
        var request = Self.get
        request.options.accept = .cbor
        request.options.observe = 0
        var bench = ExchangeBench(request)
        #expect(bench.begin() == request)
        var first = Response(.content, payload: body(100).getSlice(at: 0, length: 64))
        first.options.block2 = BlockOption(0, true, 2)
        first.options.append(.eTag, bytes: [9])
        first.options.contentFormat = .cbor
        first.options.append(.size2, uint: 100)
        let ask = try bench.answer(first).sent()
        #expect(ask.options.block2 == BlockOption(1, false, 2))
        #expect(ask.options.accept == .cbor)
        #expect(ask.options.observe == nil)
        #expect(ask.payload == nil)
        var last = first
        last.options.block2 = BlockOption(1, false, 2)
        last.payload = body(100).getSlice(at: 64, length: 36)
        let answer = try bench.answer(last).completed()
        #expect(answer.payload == body(100))
        #expect(answer.options.contentFormat == .cbor)
        #expect(answer.options.first(.eTag)?.bytes == [9])
        #expect(answer.options.count == 2)
    }

    @Test("RFC 7959 §2.4: a block that is the only one is the answer, without its option")
    func single() throws {
        var bench = ExchangeBench(Self.get)
        _ = bench.begin()
        #expect(
            try bench.answer(.content, block2: BlockOption(0, false, 6), payload: body(5)).completed()
                == Response(.content, payload: body(5)))
    }

    @Test("The peer may shrink its blocks midway")
    func shrinking() throws {
        var bench = ExchangeBench(Self.get)
        _ = bench.begin()
        _ = try bench.answer(.content, block2: BlockOption(0, true, 2), payload: body(64)).sent()
        let ask = try bench.answer(.content, block2: BlockOption(4, true, 0), payload: body(16)).sent()
        #expect(ask.options.block2 == BlockOption(5, false, 0))
    }

    @Test("BI-25: another ETag midway begins once more, then is no usable answer")
    func changed() throws {
        var bench = ExchangeBench(Self.get)
        _ = bench.begin()
        _ = try bench.answer(.content, block2: BlockOption(0, true, 0), eTag: [1], payload: body(16)).sent()
        let again = try bench.answer(.content, block2: BlockOption(1, true, 0), eTag: [2], payload: body(16)).sent()
        #expect(again == Self.get)
        _ = try bench.answer(.content, block2: BlockOption(0, true, 0), eTag: [2], payload: body(16)).sent()
        try bench.answer(.content, block2: BlockOption(1, false, 0), eTag: [3], payload: body(2)).broken()
        // What was done must not be done again.
        var post = ExchangeBench(Self.post(1))
        _ = post.begin()
        _ = try post.answer(.changed, block2: BlockOption(0, true, 0), eTag: [1], payload: body(16)).sent()
        try post.answer(.changed, block2: BlockOption(1, true, 0), eTag: [2], payload: body(16)).broken()
    }

    @Test("BI-25: a body that is gone midway is asked for once more with GET")
    func gone() throws {
        var bench = ExchangeBench(Self.get)
        _ = bench.begin()
        _ = try bench.answer(.content, block2: BlockOption(0, true, 0), payload: body(16)).sent()
        #expect(try bench.answer(.requestEntityIncomplete).sent() == Self.get)
        _ = try bench.answer(.content, block2: BlockOption(0, true, 0), payload: body(16)).sent()
        #expect(try bench.answer(.notFound).completed().code == .notFound)
        var post = ExchangeBench(Self.post(1))
        _ = post.begin()
        _ = try post.answer(.changed, block2: BlockOption(0, true, 0), payload: body(16)).sent()
        try post.answer(.requestEntityIncomplete).broken()
    }

    @Test(
        "BI-24: a gap, a block twice, one of a wrong size or without its option is no usable answer",
        arguments: [(2, true, 0, 16), (0, true, 0, 16), (1, true, 0, 15), (1, false, 0, 17), (1, true, 7, 1024)]
            as [(Int, Bool, UInt8, Int)])
    func badBlock(number: Int, more: Bool, exponent: UInt8, count: Int) throws {
        var bench = ExchangeBench(Self.get)
        _ = bench.begin()
        _ = try bench.answer(.content, block2: BlockOption(0, true, 0), payload: body(16)).sent()
        try bench.answer(.content, block2: BlockOption(number, more, exponent), payload: body(count)).broken()
    }

    @Test("A first block that is not the first, or a later answer without Block2, is no usable answer")
    func noBlock() throws {
        var bench = ExchangeBench(Self.get)
        _ = bench.begin()
        try bench.answer(.content, block2: BlockOption(1, true, 0), payload: body(16)).broken()
        var other = ExchangeBench(Self.get)
        _ = other.begin()
        _ = try other.answer(.content, block2: BlockOption(0, true, 0), payload: body(16)).sent()
        try other.answer(.content, payload: body(16)).broken()
    }

    @Test("A body above the limit is given up, as soon as that is known")
    func limit() throws {
        var bench = ExchangeBench(Self.get, ServerBench.limited(40))
        _ = bench.begin()
        _ = try bench.answer(.content, block2: BlockOption(0, true, 0), payload: body(16)).sent()
        _ = try bench.answer(.content, block2: BlockOption(1, true, 0), payload: body(16)).sent()
        try bench.answer(.content, block2: BlockOption(2, true, 0), payload: body(16)).broken()
        var announced = ExchangeBench(Self.get, ServerBench.limited(40))
        _ = announced.begin()
        var first = Response(.content, payload: body(16))
        first.options.block2 = BlockOption(0, true, 0)
        first.options.append(.size2, uint: 41)
        try announced.answer(first).broken()
    }
}
