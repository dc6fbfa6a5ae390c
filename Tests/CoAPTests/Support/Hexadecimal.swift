import CoAP
import NIOCore

/// The bytes of hexadecimal digits; blanks are skipped. Traps on anything else: tests write these.
func bytes(_ hexadecimal: String) -> [UInt8] {
    let digits = hexadecimal.utf8.filter { $0 != UInt8(ascii: " ") && $0 != UInt8(ascii: "\n") }.map { digit -> UInt8 in
        switch digit {
        case UInt8(ascii: "0")...UInt8(ascii: "9"): return digit - UInt8(ascii: "0")
        case UInt8(ascii: "a")...UInt8(ascii: "f"): return digit - UInt8(ascii: "a") + 10
        default: preconditionFailure("not a lower-case hexadecimal digit: \(digit)")
        }
    }
    precondition(digits.count.isMultiple(of: 2), "an odd number of digits")
    return stride(from: 0, to: digits.count, by: 2).map { digits[$0] << 4 | digits[$0 + 1] }
}

extension Message {
    /// The frame of this message.
    var frame: [UInt8] {
        var buffer = ByteBuffer()
        self.writeFrame(into: &buffer)
        return Array(buffer.readableBytesView)
    }
}
