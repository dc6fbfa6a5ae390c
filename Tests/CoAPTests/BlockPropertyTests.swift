import CoAP
import NIOCore
import TestSupport
import Testing

/// Our two ends against each other, by their machines alone.
struct BlockPropertyTests {
    @Test(
        "seed: whatever the sizes, both directions give the same bytes, and nothing is left behind",
        arguments: 1...4 as ClosedRange<UInt64>)
    func bothWays(seed: UInt64) throws {
        var generator = SeededGenerator(seed: seed << 8)
        for round in 0..<Rounds.scaled(60) {
            let isInternal = generator.isLucky(oneIn: 3)
            var limits = BlockLimits(bodyBytes: 64 << 10)
            limits.threshold = isInternal ? generator.number(0...20_000) : nil
            limits.bertBytes = generator.number(1...20) << 10
            let configuration = ConnectionConfiguration(keepalive: nil, isInternal: isInternal, blocks: limits)
            let sizes = [100, 200, 600, 1152, 1153, 2400, 5000, 70_000]
            let peer = PeerSettings.said(UInt64(sizes[generator.number(0...sizes.count - 1)]))
            let up = ByteBuffer(bytes: generator.someBytes(generator.number(0...20_000)))
            let down = ByteBuffer(bytes: generator.someBytes(generator.number(0...20_000)))

            let server = ServerBench(configuration, peer: peer)
            let request = Request(.post, path: ["a"], payload: up)
            var client = ExchangeBench(request, configuration, peer: peer)
            var part = client.begin()
            var handled = 0
            while true {
                let maximum = peer.maximumMessageSize
                try #require(Self.size(part.method, part.options, part.payload) <= maximum, "round \(round)")
                var answer: Response
                switch server.receive(part) {
                case .answer(let response): answer = response
                case .handle(let whole):
                    try #require(whole == request, "round \(round)")
                    handled += 1
                    answer = server.answerLast(Response(.changed, payload: down))
                }
                try #require(Self.size(answer.code, answer.options, answer.payload) <= maximum, "round \(round)")
                if generator.isLucky(oneIn: 4), answer.code == .continue, let block = answer.options.block1 {
                    // The server wants less from here on.
                    let less = UInt8(generator.number(0...Int(block.sizeExponent)))
                    answer.options.block1 = BlockOption(block.number, true, less)
                }
                let action = client.answer(answer)
                if case .complete(let response) = action {
                    try #require(
                        response == Response(.changed, options: Self.kept(response), payload: down), "round \(round)")
                    break
                }
                part = try action.sent()
            }
            try #require(handled == 1)
            try #require(server.server.askedCount == 0 && server.server.uploadCount == 0)
            if isInternal { try #require(server.server.bytes == 0) }
        }
    }

    /// An ETag made for the blocks is the only option that may be left.
    private static func kept(_ response: Response) -> Options {
        var options = Options()
        if let tag = response.options.first(.eTag) { options.append(.eTag, tag.value) }
        return options
    }

    private static func size(_ code: Code, _ options: Options, _ payload: ByteBuffer?) -> Int {
        Message(code: code, token: Token(eightBytes: 0), options: options, payload: payload).frameLength
    }
}

extension ServerBench {
    func answerLast(_ response: Response) -> Response { self.answer(self.lastIncoming, response) }
}
