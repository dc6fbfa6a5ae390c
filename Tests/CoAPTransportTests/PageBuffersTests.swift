import NIOCore
import Testing

@testable import CoAPTransport

/// What holds for any buffer, on both sides of where large ones begin.
struct PageBuffersTests {
    private static func bytes(_ count: Int) -> [UInt8] {
        (0..<count).map { UInt8(truncatingIfNeeded: $0 &* 31 ^ $0 >> 8) }
    }

    @Test("A buffer keeps what is in it as it grows, is copied, and is given up", arguments: [1, 1000, 16_384, 40_000])
    func grows(count: Int) {
        let bytes = Self.bytes(count)
        var buffer = PageBuffers.allocator.buffer(capacity: count)
        buffer.writeBytes(bytes)
        for _ in 0..<6 {
            var copy = buffer
            copy.writeBytes(bytes)
            #expect(Array(copy.readableBytesView) == Array(buffer.readableBytesView) + bytes)
            buffer = copy
        }
        #expect(Array(buffer.readableBytesView) == (0..<7).flatMap { _ in bytes })
        buffer.moveReaderIndex(forwardBy: 6 * count)
        buffer.discardReadBytes()
        buffer = ByteBuffer(buffer: buffer)
        #expect(Array(buffer.readableBytesView) == bytes)
    }

    @Test("A slice outlives the buffer it is of")
    func slices() {
        var buffer = PageBuffers.allocator.buffer(capacity: 32_768)
        buffer.writeBytes(Self.bytes(32_768))
        let slice = buffer.getSlice(at: 20_000, length: 100)
        buffer.clear()
        buffer.writeRepeatingByte(0, count: 32_768)
        buffer = ByteBuffer()
        #expect(slice.map { Array($0.readableBytesView) } == Array(Self.bytes(32_768)[20_000..<20_100]))
    }
}
