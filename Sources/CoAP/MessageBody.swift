import NIOCore

//  0                   1                   2                   3
//  |  delta 4 bits | length 4 bits | more delta 0…2 | more length 0…2 | value …
//
//  What stands behind the token: options, then 0xFF and the payload if there is one (RFC 7252 §3.1). The same for
//  every transport.

/// Bounds on what one message may hold.
package struct MessageLimits: Hashable, Sendable {
    /// How many options one message may have. The largest honest ones have some dozens.
    package var maximumOptions: Int

    package init(maximumOptions: Int = 256) {
        self.maximumOptions = maximumOptions
    }
}

extension Message {
    /// The payload marker (RFC 7252 §3).
    private static let marker: UInt8 = 0xFF

    /// Reads options and payload from `body`, which holds exactly those. Values are slices of `body`.
    init(
        code: Code, token: Token, body: consuming ByteBuffer, limits: MessageLimits
    ) throws(DecodeError) {
        var body = body
        var options: [Option] = []
        var payload: ByteBuffer?
        var number = 0
        while let first = body.readInteger(as: UInt8.self) {
            if first == Self.marker {
                guard body.readableBytes > 0 else { throw .emptyPayload }
                payload = body.readSlice(length: body.readableBytes)
                break
            }
            guard options.count < limits.maximumOptions else { throw .tooManyOptions(maximum: limits.maximumOptions) }
            number += try Self.readExtended(nibble: first >> 4, from: &body)
            let length = try Self.readExtended(nibble: first & 0xF, from: &body)
            guard let optionNumber = UInt16(exactly: number) else { throw .optionNumberOverflow }
            guard let value = body.readSlice(length: length) else { throw .optionPastEnd }
            options.append(Option(OptionNumber(rawValue: optionNumber), value))
        }
        self.init(code: code, token: token, options: Options(ordered: options), payload: payload)
    }

    /// A delta or a length: the nibble itself, or one or two bytes more (RFC 7252 §3.1). At most 65535 + 269.
    private static func readExtended(nibble: UInt8, from body: inout ByteBuffer) throws(DecodeError) -> Int {
        switch nibble {
        case 13:
            guard let byte = body.readInteger(as: UInt8.self) else { throw .optionPastEnd }
            return Int(byte) + 13
        case 14:
            guard let bytes = body.readInteger(as: UInt16.self) else { throw .optionPastEnd }
            return Int(bytes) + 269
        case 15:
            throw .reservedOptionNibble
        default:
            return Int(nibble)
        }
    }

    /// How many bytes options, marker and payload take.
    var bodyLength: Int {
        var length = self.payload.map { $0.readableBytes > 0 ? $0.readableBytes + 1 : 0 } ?? 0
        var previous = 0
        for option in self.options {
            let number = Int(option.number.rawValue)
            let count = option.value.readableBytes
            length += 1 + Self.extendedLength(number - previous) + Self.extendedLength(count) + count
            previous = number
        }
        return length
    }

    func writeBody(into buffer: inout ByteBuffer) {
        var previous = 0
        for option in self.options {
            let number = Int(option.number.rawValue)
            let delta = number - previous
            let count = option.value.readableBytes
            buffer.writeInteger(Self.nibble(delta) << 4 | Self.nibble(count))
            Self.writeExtended(delta, into: &buffer)
            Self.writeExtended(count, into: &buffer)
            buffer.writeImmutableBuffer(option.value)
            previous = number
        }
        if let payload = self.payload, payload.readableBytes > 0 {
            buffer.writeInteger(Self.marker)
            buffer.writeImmutableBuffer(payload)
        }
    }

    private static func nibble(_ value: Int) -> UInt8 {
        value < 13 ? UInt8(value) : value < 269 ? 13 : 14
    }

    private static func extendedLength(_ value: Int) -> Int {
        value < 13 ? 0 : value < 269 ? 1 : 2
    }

    private static func writeExtended(_ value: Int, into buffer: inout ByteBuffer) {
        if value >= 269 {
            // The connection machine refuses longer option values, and what a peer sent cannot be longer.
            assert(value <= Option.maximumLength, "an option of \(value) bytes cannot be written")
            buffer.writeInteger(UInt16(truncatingIfNeeded: value - 269))
        } else if value >= 13 {
            buffer.writeInteger(UInt8(truncatingIfNeeded: value - 13))
        }
    }
}
