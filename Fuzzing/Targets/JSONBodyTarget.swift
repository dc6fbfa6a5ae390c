import CBOR
import NIOCore
import OCF

@testable import Northbound

/// The body of an HTTP request in JSON (RFC 8259), and the CBOR that devices get of it. The first byte of the input
/// chooses the limits.
enum JSONBodyTarget {
    static func check(_ input: ByteBuffer) {
        var reader = InputReader(input)
        let limits =
            reader.byte() & 1 == 0 ? DecodingLimits.standard : DecodingLimits(bytes: 256, depth: 3, items: 20)
        let bytes = reader.rest
        guard let item = try? JSONCoding.decode(bytes, limits: limits) else { return }
        require(bytes.readableBytes <= limits.bytes, "a text has too many bytes")
        self.checkBounds(item, limits.depth)

        let written = JSONCoding.encode(item)
        guard let again = try? JSONCoding.decode(written) else { fatalError("what was written cannot be read") }
        require(again == item, "what was written is read as something else")
        require(JSONCoding.encode(again) == written, "a value is written in two ways")

        guard let cbor = Transcoding.cbor(fromJSON: bytes) else { return }
        guard let decoded = try? DataItem(decoding: cbor) else { fatalError("a device gets what is no CBOR") }
        require(decoded == item, "a device gets something else than the client has sent")
        require(Transcoding.json(fromCBOR: cbor) == written, "a client gets something else back than it has sent")
    }

    private static func checkBounds(_ item: DataItem, _ depth: Int) {
        switch item {
        case .array(let elements):
            require(depth > 0, "a value is too deep")
            for element in elements { self.checkBounds(element, depth - 1) }
        case .map(let pairs):
            require(depth > 0, "a value is too deep")
            require(Set(pairs.map(\.key)).count == pairs.count, "a name is there twice")
            for pair in pairs {
                guard let name = pair.key.string else { fatalError("a name is no text") }
                require(name.utf8.count <= JSONCoding.maximumNameBytes, "a name has \(name.utf8.count) bytes")
                self.checkBounds(pair.value, depth - 1)
            }
        case .unsigned, .negative, .text, .boolean, .null: break
        case .float(let value): require(value.isFinite, "a number is not finite")
        case .bytes, .tagged, .undefined, .simple: fatalError("JSON has no \(item.kind)")
        }
    }

    /// JSON of ours is read by us, unless a device's keys became the same name, or a name that is too long.
    static func checkWritten(_ json: ByteBuffer) {
        do throws(JSONError) {
            _ = try JSONCoding.decode(json, limits: DecodingLimits(bytes: .max, depth: 32, items: .max))
        } catch {
            switch error.code {
            case .duplicateName, .nameTooLong: break
            default: fatalError("what was written as JSON is none: \(error)")
            }
        }
    }
}
