import NIOCore

/// Makes decisions out of an input. Once it is used up, everything is 0.
struct InputReader {
    private(set) var rest: ByteBuffer

    init(_ input: ByteBuffer) {
        self.rest = input
    }

    var isEmpty: Bool { self.rest.readableBytes == 0 }

    mutating func byte() -> UInt8 { self.rest.readInteger() ?? 0 }

    /// One of `range`, which has at most 65,536 numbers.
    mutating func number(_ range: ClosedRange<Int>) -> Int {
        let drawn = range.count <= 256 ? Int(self.byte()) : Int(self.byte()) << 8 | Int(self.byte())
        return range.lowerBound + drawn % range.count
    }

    mutating func flag() -> Bool { self.byte() & 1 == 1 }

    /// So many bytes, or fewer if there are no more.
    mutating func bytes(_ count: Int) -> ByteBuffer {
        self.rest.readSlice(length: min(count, self.rest.readableBytes)) ?? ByteBuffer()
    }

    /// One of them, nil if there is none.
    mutating func pick<Element>(_ elements: [Element]) -> Element? {
        elements.isEmpty ? nil : elements[self.number(0...min(elements.count, 256) - 1)]
    }
}

extension ByteBuffer {
    /// The same bytes in pieces, whose lengths come again and again in this order. The last one takes what is left.
    func pieces(_ lengths: [Int], atMost maximum: Int = 64) -> [ByteBuffer] {
        var rest = self
        var pieces: [ByteBuffer] = []
        while rest.readableBytes > 0 {
            let isLast = pieces.count == maximum - 1
            let length = min(isLast ? .max : max(1, lengths[pieces.count % lengths.count]), rest.readableBytes)
            // Copied, so that each piece is a buffer of its own, as it is when it comes from a socket.
            pieces.append(ByteBuffer(bytes: rest.readSlice(length: length)?.readableBytesView ?? []))
        }
        return pieces
    }
}
