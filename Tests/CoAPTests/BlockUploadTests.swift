import CoAP
import NIOCore
import Testing

/// Bodies that a peer sends us in blocks (RFC 7959 §2.5).
struct BlockUploadTests {
    static let post = Request(.post, path: ["a"])

    @Test("RFC 7959 §2.5: blocks are answered 2.31 with their Block1, and the last one brings the whole body")
    func whole() throws {
        let bench = ServerBench()
        var post = Self.post
        post.options.contentFormat = .cbor
        var first = post.block1(0, more: true, 6, body(1024))
        first.options.append(.size1, uint: 2500)
        let all = body(2500)
        let next = try bench.answered(first)
        #expect(next.code == .continue)
        #expect(next.options.block1 == BlockOption(0, true, 6))
        #expect(
            try bench.answered(post.block1(1, more: true, 6, all.getSlice(at: 1024, length: 1024))).code == .continue)
        let (id, request) = try bench.handled(post.block1(2, more: false, 6, all.getSlice(at: 2048, length: 452)))
        var expected = post
        expected.payload = all
        #expect(request == expected)
        #expect(bench.server.bytes == 0)
        let answer = bench.answer(id, Response(.changed))
        #expect(answer.options.block1 == BlockOption(2, false, 6))
        #expect(bench.server.askedCount == 0)
    }

    @Test("RFC 7959 §2.5: a body of one block needs no other")
    func single() throws {
        let bench = ServerBench()
        let (id, request) = try bench.handled(Self.post.tagged(1).block1(0, more: false, 2, body(40)))
        #expect(request.payload == body(40))
        #expect(request.options.path == ["a"])
        #expect(request.options.count == 1)
        #expect(bench.answer(id, Response(.notFound)).options.block1 == BlockOption(0, false, 2))
    }

    @Test("BI-24, RFC 7959 §2.9.2: a gap, a block twice and a block of nothing begun are 4.08, and nothing is kept")
    func gaps() throws {
        for number in [0x1, 0x3, 0xFFFFF] {
            let bench = ServerBench()
            #expect(
                try bench.answered(Self.post.block1(number, more: true, 0, body(16))).code == .requestEntityIncomplete)
        }
        for number in [1, 3, 1000] {
            let bench = ServerBench()
            _ = try bench.answered(Self.post.block1(0, more: true, 0, body(16)))
            _ = try bench.answered(Self.post.block1(1, more: true, 0, body(16)))
            #expect(
                try bench.answered(Self.post.block1(number, more: true, 0, body(16))).code == .requestEntityIncomplete)
            #expect(bench.server.bytes == 0)
            #expect(
                try bench.answered(Self.post.block1(2, more: false, 0, body(16))).code == .requestEntityIncomplete)
        }
    }

    @Test("RFC 7959 §2.5: a block 0 begins anew")
    func restart() throws {
        let bench = ServerBench()
        _ = try bench.answered(Self.post.block1(0, more: true, 0, ByteBuffer(repeating: 9, count: 16)))
        _ = try bench.answered(Self.post.block1(0, more: true, 0, body(16)))
        #expect(bench.server.bytes == 16)
        #expect(try bench.handled(Self.post.block1(1, more: false, 0, body(3))).request.payload?.readableBytes == 19)
        _ = try bench.answered(Self.post.block1(0, more: true, 0, body(16)))
        #expect(try bench.handled(Self.post.block1(0, more: false, 0, body(5))).request.payload == body(5))
        #expect(bench.server.bytes == 0)
    }

    @Test("BI-24: the size may shrink midway, since what counts is the position in bytes")
    func shrinking() throws {
        let bench = ServerBench()
        let all = body(1024 + 512 + 10)
        _ = try bench.answered(Self.post.block1(0, more: true, 6, all.getSlice(at: 0, length: 1024)))
        _ = try bench.answered(Self.post.block1(2, more: true, 5, all.getSlice(at: 1024, length: 512)))
        let last = Self.post.block1(96, more: false, 0, all.getSlice(at: 1536, length: 10))
        #expect(try bench.handled(last).request.payload == all)
    }

    @Test("BI-24: the size may not shrink to where the number means another position")
    func shrinkingWrongly() throws {
        let bench = ServerBench()
        _ = try bench.answered(Self.post.block1(0, more: true, 6, body(1024)))
        #expect(try bench.answered(Self.post.block1(1, more: true, 5, body(512))).code == .requestEntityIncomplete)
    }

    @Test(
        "BI-24, RFC 7959 §2.3: a block that is not as large as it says is 4.00",
        arguments: [(true, 0, 15), (true, 0, 17), (true, 0, 0), (true, 6, 1023), (false, 0, 17), (false, 6, 1025)]
            as [(Bool, UInt8, Int)])
    func badSize(more: Bool, exponent: UInt8, count: Int) throws {
        let bench = ServerBench()
        #expect(try bench.answered(Self.post.block1(0, more: more, exponent, body(count))).code == .badRequest)
        #expect(bench.server.bytes == 0)
    }

    @Test("BI-11, BI-24: SZX 7 is 4.00 unless both ends announced BERT", arguments: [PeerSettings(), .plain])
    func noBERT(peer: PeerSettings) throws {
        let bench = ServerBench(peer: peer)
        #expect(try bench.answered(Self.post.block1(0, more: true, 7, body(2048))).code == .badRequest)
        #expect(try bench.answered(Request(.get, path: ["a"]).block2(0, 7)).code == .badRequest)
        let small = ServerBench(
            ConnectionConfiguration(limits: FrameLimits(maximumMessageSize: 1152), keepalive: nil), peer: .bert)
        #expect(try small.answered(Self.post.block1(0, more: false, 7, body(10))).code == .badRequest)
    }

    @Test("RFC 8323 §6: BERT blocks carry any number of units, and the number counts units")
    func bert() throws {
        let bench = ServerBench(peer: .bert)
        let all = body(10_000)
        _ = try bench.answered(Self.post.block1(0, more: true, 7, all.getSlice(at: 0, length: 3072)))
        #expect(
            try bench.answered(Self.post.block1(3, more: true, 7, all.getSlice(at: 3072, length: 1024))).options.block1
                == BlockOption(3, true, 7))
        let last = Self.post.block1(4, more: false, 7, all.getSlice(at: 4096, length: 5904))
        #expect(try bench.handled(last).request.payload == all)
        for count in [0, 1000, 1025] {
            #expect(try bench.answered(Self.post.block1(0, more: true, 7, body(count))).code == .badRequest)
        }
    }

    @Test("BI-24: a body over the limit is 4.13 with Size1, as soon as that is known")
    func tooLarge() throws {
        let bench = ServerBench(ServerBench.limited(100))
        var announced = Self.post.block1(0, more: true, 0, body(16))
        announced.options.append(.size1, uint: 101)
        let refused = try bench.answered(announced)
        #expect(refused.code == .requestEntityTooLarge)
        #expect(refused.options.first(.size1)?.uint == 100)
        // Lies: it says 10 and sends 101.
        announced.options.set(.size1, uint: 10)
        #expect(try bench.answered(announced).code == .continue)
        for number in 1...5 {
            #expect(try bench.answered(Self.post.block1(number, more: true, 0, body(16))).code == .continue)
        }
        #expect(bench.server.bytes == 96)
        #expect(try bench.answered(Self.post.block1(6, more: true, 0, body(16))).code == .requestEntityTooLarge)
        #expect(bench.server.bytes == 0)
        announced.options.set(.size1, uint: 0xFFFF_FFFF)
        #expect(try bench.answered(announced).code == .requestEntityTooLarge)
        // 2^20 - 1 blocks of 1024 bytes: the sum is no trap.
        #expect(
            try bench.answered(Self.post.block1(0xFFFFF, more: true, 6, body(1024))).code == .requestEntityIncomplete)
        let exact = ServerBench(ServerBench.limited(32))
        _ = try exact.answered(Self.post.block1(0, more: true, 0, body(16)))
        #expect(try exact.handled(Self.post.block1(1, more: false, 0, body(16))).request.payload?.readableBytes == 32)
    }

    @Test("RFC 9175 §3: bodies with another path, query, method, Accept or Request-Tag do not mix")
    func keys() throws {
        let bench = ServerBench(ServerBench.limited(1000) { $0.uploads = 10 })
        var accepting = Self.post
        accepting.options.accept = .cbor
        let others = [
            Self.post, Request(.put, path: ["a"]), Request(.post, path: ["b"]), Request(.post, path: ["a", ""]),
            Request(.post, path: ["a"], queries: ["q"]), accepting, Self.post.tagged(1), Self.post.tagged(2),
        ]
        for (index, request) in others.enumerated() {
            let block = ByteBuffer(repeating: UInt8(index), count: 16)
            #expect(try bench.answered(request.block1(0, more: true, 0, block)).code == .continue)
        }
        for (index, request) in others.enumerated().reversed() {
            let last = request.block1(1, more: false, 0, ByteBuffer(repeating: UInt8(index), count: 4))
            #expect(try bench.handled(last).request.payload == ByteBuffer(repeating: UInt8(index), count: 20))
        }
        #expect(bench.server.bytes == 0)
    }

    @Test("RFC 7959 §2.9.2: another Content-Format midway is 4.08, none is not")
    func format() throws {
        let bench = ServerBench()
        var cbor = Self.post
        cbor.options.contentFormat = .cbor
        _ = try bench.answered(cbor.block1(0, more: true, 0, body(16)))
        #expect(try bench.answered(Self.post.block1(1, more: true, 0, body(16))).code == .continue)
        var json = Self.post
        json.options.contentFormat = .json
        #expect(try bench.answered(json.block1(2, more: true, 0, body(16))).code == .requestEntityIncomplete)
    }

    @Test("BI-24: four uploads at a time; a fifth is 5.03 with a time, and those under way go on")
    func count() throws {
        let bench = ServerBench()
        for tag in 1...4 as ClosedRange<UInt8> {
            #expect(try bench.answered(Self.post.tagged(tag).block1(0, more: true, 0, body(16))).code == .continue)
        }
        let refused = try bench.answered(Self.post.tagged(5).block1(0, more: true, 0, body(16)))
        #expect(refused.code == .serviceUnavailable)
        #expect(refused.options.maxAge == 1)
        #expect(bench.server.uploadCount == 4)
        #expect(try bench.answered(Self.post.tagged(4).block1(1, more: true, 0, body(16))).code == .continue)
        _ = try bench.handled(Self.post.tagged(1).block1(1, more: false, 0, body(1)))
        #expect(try bench.answered(Self.post.tagged(5).block1(0, more: true, 0, body(16))).code == .continue)
        // What is whole at once needs no place.
        _ = try bench.handled(Self.post.tagged(6).block1(0, more: false, 0, body(1)))
    }

    @Test("All uploads of a connection together are bounded in bytes")
    func allBytes() throws {
        let bench = ServerBench(ServerBench.limited(64) { $0.uploadBytes = 128 })
        for tag in 1...2 as ClosedRange<UInt8> {
            for number in 0..<3 {
                let block = Self.post.tagged(tag).block1(number, more: true, 0, body(16))
                #expect(try bench.answered(block).code == .continue)
            }
        }
        for number in 0..<2 {
            let block = Self.post.tagged(3).block1(number, more: true, 0, body(16))
            #expect(try bench.answered(block).code == .continue)
        }
        #expect(bench.server.bytes == 128)
        let one = Self.post.tagged(3).block1(2, more: true, 0, body(16))
        #expect(try bench.answered(one).code == .serviceUnavailable)
        #expect(BlockLimits(bodyBytes: 64).uploadBytes == 64)
    }

    @Test("BI-24: an upload without progress for 30 s is dropped, one that drips is not")
    func time() throws {
        let bench = ServerBench()
        _ = try bench.answered(Self.post.tagged(1).block1(0, more: true, 0, body(16)))
        _ = try bench.answered(Self.post.tagged(2).block1(0, more: true, 0, body(16)))
        #expect(bench.server.nextDeadline == bench.now + .seconds(30))
        bench.pass(.seconds(29))
        _ = try bench.answered(Self.post.tagged(2).block1(1, more: true, 0, body(16)))
        bench.pass(.seconds(1))
        #expect(bench.server.uploadCount == 1)
        #expect(bench.server.bytes == 32)
        bench.pass(.seconds(29))
        #expect(bench.server.bytes == 0)
        #expect(bench.server.nextDeadline == nil)
        #expect(
            try bench.answered(Self.post.tagged(2).block1(2, more: true, 0, body(16))).code == .requestEntityIncomplete)
    }

    @Test("BI-24: a thousand half transfers on one connection keep four of them, and after 30 s nothing")
    func halves() throws {
        let bench = ServerBench()
        for index in 0..<1000 {
            let request = Request(.post, path: ["\(index)"]).block1(0, more: true, 6, body(1024))
            _ = try bench.answered(request)
            #expect(bench.server.bytes <= 4096)
        }
        bench.pass(.seconds(30))
        #expect(bench.server.bytes == 0)
        #expect(bench.server.uploadCount == 0)
        #expect(bench.server.askedCount == 0)
    }

    @Test("The end of the connection frees everything")
    func closed() throws {
        let bench = ServerBench()
        _ = try bench.answered(Self.post.block1(0, more: true, 0, body(16)))
        _ = try bench.first(Request(.get, path: ["a"]).block2(0, 0), body(100))
        _ = try bench.handled(Request(.get, path: ["b"]))
        bench.close()
        #expect(bench.server.bytes == 0)
        #expect(bench.server.askedCount == 0)
        #expect(bench.server.nextDeadline == nil)
    }

    @Test("Between our own programs a refusal says that the request was not delivered")
    func undelivered() throws {
        var limits = BlockLimits(bodyBytes: 100)
        limits.uploads = 1
        let bench = ServerBench(ConnectionConfiguration(keepalive: nil, isInternal: true, blocks: limits), peer: .bert)
        #expect(
            try bench.answered(Self.post.block1(1, more: true, 0, body(16))).options.undelivered == .unreachable)
        #expect(try bench.answered(Self.post.block1(0, more: true, 4, body(256))).options.undelivered == .tooLarge)
        _ = try bench.answered(Self.post.tagged(1).block1(0, more: true, 0, body(16)))
        #expect(
            try bench.answered(Self.post.tagged(2).block1(0, more: true, 0, body(16))).options.undelivered == .queueFull
        )
    }
}
