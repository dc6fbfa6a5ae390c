import NIOCore

@testable import RedisStore

/// What Redis answers (RESP2). With an even first byte the rest of the input is a stream of answers, cut as the second
/// byte says; with an odd one it is events of a connection, some of which feed it bytes.
enum RESPRepliesTarget {
    static func check(_ input: ByteBuffer) {
        var reader = InputReader(input)
        if reader.flag() {
            var drive = RESPDrive(reader)
            drive.run()
        } else {
            let cut = Int(reader.byte())
            self.checkCuts(of: reader.rest, cut)
        }
    }

    private struct Outcome: Equatable {
        var values: [RedisValue] = []
        var isBroken = false
    }

    private static func checkCuts(of stream: ByteBuffer, _ cut: Int) {
        let whole = self.read([stream])
        require(self.read(stream.pieces([cut, 1, cut / 2])) == whole, "the same bytes cut are other answers")
        if stream.readableBytes <= 256 {
            require(self.read(stream.pieces([1], atMost: 256)) == whole, "the same bytes one by one are other answers")
        }
        let bytes = whole.values.reduce(0) { $0 + self.leastBytes(of: $1) }
        require(bytes <= stream.readableBytes, "answers of \(bytes) bytes were made of \(stream.readableBytes)")
    }

    private static func read(_ pieces: [ByteBuffer]) -> Outcome {
        var outcome = Outcome()
        guard let reader = try? RedisReader(maximumBytes: 1 << 20) else { return outcome }
        do throws(RedisError) {
            for piece in pieces {
                try reader.feed(piece)
                while let value = try reader.next() { outcome.values.append(value) }
            }
        } catch {
            outcome.isBroken = true
        }
        return outcome
    }

    /// How many bytes an answer takes at least.
    private static func leastBytes(of value: RedisValue) -> Int {
        switch value {
        case .null: 5
        case .integer: 3
        case .status(let text), .error(let text):
            // Bytes that are no UTF-8 become three of a replacement character.
            3 + text.utf8.count / 3
        case .bytes(let bytes): 5 + bytes.count
        case .array(let elements): elements.reduce(4) { $0 + self.leastBytes(of: $1) }
        }
    }
}
