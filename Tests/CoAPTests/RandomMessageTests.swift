import CoAP
import NIOCore
import TestSupport
import Testing

/// Messages nobody would think of. A failing input belongs in the folder `Inputs`, where it is replayed for ever.
struct RandomMessageTests {
    /// What holds for any bytes: they are refused, incomplete, or a message whose frame is exactly what was read,
    /// since every length and delta has one form only (RFC 8323 §3.2, RFC 7252 §3.1).
    static func fate(
        of input: [UInt8], limits: FrameLimits = FrameLimits(), sourceLocation: SourceLocation = #_sourceLocation
    ) -> RecordedInput.Fate {
        var buffer = ByteBuffer(bytes: input)
        let message: Message
        do {
            guard let read = try Message(readingFrameFrom: &buffer, limits: limits) else { return .more }
            message = read
        } catch {
            return .refuse
        }
        let consumed = Array(input.prefix(buffer.readerIndex))
        if message.frame != consumed || message.frameLength != consumed.count {
            Issue.record(
                "keep this input in Tests/CoAPTests/Inputs: \(hexadecimal(input))", sourceLocation: sourceLocation)
        }
        return .accept
    }

    @Test("RFC 8323 §3.2: random messages survive being written and read", arguments: 1...4 as ClosedRange<UInt64>)
    func roundTrip(seed: UInt64) throws {
        var generator = SeededGenerator(seed: seed)
        let limits = FrameLimits(maximumTokenLength: 600)
        for round in 0..<Rounds.scaled(500) {
            let message = generator.message(maximumTokenLength: round.isMultiple(of: 5) ? 600 : 8)
            let frame = message.frame
            var buffer = ByteBuffer(bytes: frame)
            let read = try Message(readingFrameFrom: &buffer, limits: limits)
            try #require(read == message, "\(hexadecimal(frame))")
            try #require(buffer.readableBytes == 0, "\(hexadecimal(frame))")
            try #require(message.frameLength == frame.count, "\(hexadecimal(frame))")
        }
    }

    @Test(
        "BI-1: a stream of random messages cut anywhere is the same messages", arguments: 1...4 as ClosedRange<UInt64>)
    func stream(seed: UInt64) throws {
        var generator = SeededGenerator(seed: seed << 16)
        for _ in 0..<Rounds.scaled(20) {
            let messages = (0..<generator.number(1...10)).map { _ in generator.message() }
            var rest = messages.flatMap(\.frame)[...]
            var buffer = ByteBuffer()
            var read: [Message] = []
            while !rest.isEmpty {
                let piece = rest.prefix(generator.number(1...40))
                rest = rest.dropFirst(piece.count)
                buffer.writeBytes(piece)
                while let message = try Message(readingFrameFrom: &buffer, limits: FrameLimits()) {
                    read.append(message)
                }
            }
            try #require(read == messages)
            try #require(buffer.readableBytes == 0)
        }
    }

    @Test(
        "RFC 7252 §3: damaged frames are refused, wait for more, or mean exactly their bytes",
        arguments: 1...4 as ClosedRange<UInt64>)
    func damaged(seed: UInt64) {
        var generator = SeededGenerator(seed: seed << 32)
        var fates: [RecordedInput.Fate: Int] = [:]
        let rounds = Rounds.scaled(2000)
        for round in 0..<rounds {
            let original =
                round.isMultiple(of: 2)
                ? generator.message(maximumTokenLength: 600).frame
                : Recording.all[round / 2 % Recording.all.count].frame
            let limits = FrameLimits(
                maximumMessageSize: round.isMultiple(of: 3) ? 1152 : 1 << 20,
                maximumTokenLength: round.isMultiple(of: 5) ? 600 : 8)
            fates[Self.fate(of: generator.mutated(original), limits: limits), default: 0] += 1
        }
        // The generator would prove nothing if it made only garbage or no garbage.
        for fate in [RecordedInput.Fate.accept, .more, .refuse] {
            #expect(fates[fate, default: 0] > rounds / 20, "\(fate)")
        }
    }

    @Test("RFC 7252 §3: bytes without any sense are refused, wait for more, or mean exactly their bytes")
    func noise() {
        var generator = SeededGenerator(seed: 2)
        for _ in 0..<Rounds.scaled(2000) {
            _ = Self.fate(of: generator.someBytes(generator.number(0...64)))
        }
    }

    @Test("RFC 8323 §3.2: what other protocols say first is never taken for a request")
    func otherProtocols() throws {
        for opening in [
            Array("GET / HTTP/1.1\r\nHost: x\r\n\r\n".utf8), Array("SSH-2.0-OpenSSH_9.2\r\n".utf8),
            Array("PROXY TCP4 10.0.0.1 10.0.0.2 1 2\r\n".utf8), bytes("16030100f8010000f40303"),
            [UInt8](repeating: 0xFF, count: 64),
        ] {
            var buffer = ByteBuffer(bytes: opening)
            let message = try? Message(readingFrameFrom: &buffer, limits: FrameLimits())
            #expect(message?.code.kind != .request)
        }
    }

    @Test("Inputs that once failed, and hostile ones, meet their fate", arguments: RecordedInput.all)
    func replay(_ input: RecordedInput) {
        #expect(Self.fate(of: input.bytes) == input.fate)
    }

    @Test("Inputs that are refused stay refused with anything behind them", arguments: RecordedInput.all)
    func replayGlued(_ input: RecordedInput) {
        guard input.fate == .refuse else { return }
        #expect(Self.fate(of: input.bytes + bytes("08e2d3f63628a7d74560")) == .refuse)
    }
}
