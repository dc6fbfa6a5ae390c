package import CBOR
package import NIOCore

/// JSON to and from the data items of our payloads (RFC 8949 §6).
///
/// A parser of our own, because the ones at hand take or lose what matters here: they let the sender choose the depth
/// of the stack, turn integers into doubles, forget the order of names, and let the last of two equal names win.
package enum JSONCoding {
    /// Longest name in an object, in bytes.
    package static let maximumNameBytes = 1024
    /// Longest number, in characters. Every 64-bit integer and every double has a form that is shorter.
    package static let maximumNumberBytes = 128

    /// Reads exactly one JSON text in UTF-8: objects become maps in their order, integers of up to 64 bits stay
    /// integers, other numbers become floats.
    ///
    /// - Throws: `JSONError` for everything RFC 8259 does not allow, for duplicate names, numbers that are not finite,
    ///   and what exceeds `limits`.
    package static func decode(
        _ buffer: ByteBuffer, limits: DecodingLimits = .standard
    ) throws(JSONError) -> DataItem {
        guard buffer.readableBytes <= limits.bytes else {
            throw JSONError(.tooLarge(bytes: buffer.readableBytes, maximum: limits.bytes), at: 0)
        }
        var parser = JSONParser(bytes: Array(buffer.readableBytesView), limits: limits)
        return try parser.text()
    }

    /// Writes an item as JSON without white space: byte strings as base64url without padding, integer names as
    /// decimal text, what JSON has no value for (undefined, NaN, infinities, other simple values) as null, tags
    /// dropped (RFC 8949 §6.1).
    package static func encode(_ item: DataItem) -> ByteBuffer {
        var writer = JSONWriter()
        writer.write(item)
        return writer.buffer
    }
}
