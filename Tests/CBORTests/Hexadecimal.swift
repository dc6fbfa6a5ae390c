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

func buffer(_ hexadecimal: String) -> ByteBuffer {
    ByteBuffer(bytes: bytes(hexadecimal))
}

func digits(_ bytes: some Sequence<UInt8>) -> String {
    let table = Array("0123456789abcdef")
    return String(bytes.flatMap { [table[Int($0 >> 4)], table[Int($0 & 0xF)]] })
}

func digits(_ buffer: ByteBuffer) -> String {
    digits(buffer.readableBytesView)
}
