import CBOR
import NIOCore

@testable import Northbound

/// A payload in CBOR, and what HTTP clients get of it. The first byte of the input chooses the limits.
enum CBORTarget {
    static func check(_ input: ByteBuffer) {
        var reader = InputReader(input)
        let choice = reader.byte()
        let limits =
            choice & 1 == 0 ? DecodingLimits.standard : DecodingLimits(bytes: 256, depth: 3, items: 20)
        let bytes = reader.rest
        guard let item = try? DataItem(decoding: bytes, limits: limits) else { return }

        require(bytes.readableBytes <= limits.bytes, "an item has too many bytes")
        let size = self.measure(item)
        require(size.depth <= limits.depth, "an item is \(size.depth) levels deep")
        require(size.items <= limits.items, "an item has \(size.items) items in it")

        let written = item.encoded()
        guard let again = try? DataItem(decoding: written) else { fatalError("what was written cannot be read") }
        require(again == item && again.hashValue == item.hashValue, "what was written is read as something else")
        require(again.encoded() == written, "an item has two canonical forms")

        // One item, no less and no more (RFC 8949 §5.3.1).
        let short = bytes.getSlice(at: bytes.readerIndex, length: bytes.readableBytes - 1) ?? ByteBuffer()
        require((try? DataItem(decoding: short, limits: limits)) == nil, "an item is whole without its last byte")
        var long = bytes
        long.writeInteger(0xF6 as UInt8)
        require((try? DataItem(decoding: long, limits: limits)) == nil, "two items were taken for one")

        self.checkJSON(bytes, item)
    }

    /// Arrays, maps and tags around the deepest item; data items in all.
    private static func measure(_ item: DataItem) -> (depth: Int, items: Int) {
        let inside: [DataItem]
        switch item {
        case .array(let elements): inside = elements
        case .map(let pairs): inside = pairs.flatMap { [$0.key, $0.value] }
        case .tagged(_, let tagged): inside = [tagged]
        case .unsigned, .negative, .bytes, .text, .boolean, .null, .undefined, .simple, .float: return (0, 1)
        }
        let measured = inside.map(self.measure)
        return (1 + (measured.map(\.depth).max() ?? 0), measured.reduce(1) { $0 + $1.items })
    }

    /// What a device answers becomes JSON of a bounded size that every parser takes, ours too.
    private static func checkJSON(_ bytes: ByteBuffer, _ item: DataItem) {
        guard let json = Transcoding.json(fromCBOR: bytes) else { return }
        // The longest there is for a byte: half a double's 24 characters, and a control character's \u00xx.
        require(
            json.readableBytes <= 64 * bytes.readableBytes,
            "\(bytes.readableBytes) bytes of CBOR become \(json.readableBytes) of JSON")
        JSONBodyTarget.checkWritten(json)
    }
}
