import CBOR
import NIOCore
import OCF

/// JSON at the edge, CBOR towards devices: converted only when the whole payload is one valid item.
enum Transcoding {
    /// Nil when the bytes are not one JSON text.
    static func cbor(fromJSON bytes: ByteBuffer) -> ByteBuffer? {
        guard let item = try? JSONCoding.decode(bytes) else { return nil }
        return item.encoded()
    }

    /// Nil when the bytes are not one CBOR item.
    static func json(fromCBOR bytes: ByteBuffer) -> ByteBuffer? {
        guard let item = try? DataItem(decoding: bytes) else { return nil }
        return JSONCoding.encode(item)
    }

    static func json(_ item: DataItem) -> ByteBuffer { JSONCoding.encode(item) }
}
