package import CBOR
package import CoAP
package import NIOCore
import OCF

/// A payload as one line for people: JSON where it decodes, else the text in quotes, else the bytes. Never longer than
/// a few lines, and never able to do anything to a terminal.
package func shown(_ payload: ByteBuffer?, format: ContentFormat?) -> String? {
    guard let payload, payload.readableBytes > 0 else { return nil }
    switch format {
    case .ocfCBOR, .cbor, nil:
        do throws(CBORError) {
            let item = try DataItem(decoding: payload, limits: DecodingLimits(bytes: 262_144))
            return json(item)
        } catch {
            break
        }
    case .json:
        if let text = String(validating: payload.readableBytesView, as: UTF8.self) {
            return sanitized(text, limit: maximumCharacters)
        }
    default:
        break
    }
    if let text = String(validating: payload.readableBytesView, as: UTF8.self) {
        return "\"\(sanitized(text, limit: maximumCharacters))\""
    }
    let start = hexadecimal(payload.readableBytesView.prefix(32))
    return "\(payload.readableBytes) bytes \(start)\(payload.readableBytes > 32 ? "…" : "")"
}

/// An item as JSON, safe for a terminal.
package func json(_ item: DataItem) -> String {
    sanitized(String(buffer: JSONCoding.encode(item)), limit: maximumCharacters)
}

private let maximumCharacters = 2000
