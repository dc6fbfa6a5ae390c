package import NIOCore

/// One option as it stands in a message. The value is a slice of the received buffer, not a copy.
package struct Option: Hashable, Sendable {
    /// The longest value that can be written, in bytes (RFC 7252 §3.1).
    package static let maximumLength = 65535 + 269

    package let number: OptionNumber
    package let value: ByteBuffer

    package init(_ number: OptionNumber, _ value: ByteBuffer) {
        self.number = number
        self.value = value
    }

    /// The value as an unsigned integer, most significant byte first, leading zeros tolerated (RFC 7252 §3.2);
    /// nil if it does not fit 64 bits.
    package var uint: UInt64? {
        var result: UInt64 = 0
        for byte in self.value.readableBytesView {
            guard result >> 56 == 0 else { return nil }
            result = result << 8 | UInt64(byte)
        }
        return result
    }

    /// The value as text, nil if it is not valid UTF-8 (RFC 7252 §3.2).
    package var string: String? {
        String(validating: self.value.readableBytesView, as: UTF8.self)
    }

    package var bytes: [UInt8] { Array(self.value.readableBytesView) }
}

/// The options of one message in the order of their numbers; options of one number keep the order they came in.
package struct Options: Hashable, Sendable {
    private var storage: [Option]

    package init() {
        self.storage = []
    }

    /// Trusts `ordered` to be in ascending order: what the decoder produces by construction.
    init(ordered: [Option]) {
        self.storage = ordered
    }

    package var isEmpty: Bool { self.storage.isEmpty }
    package var count: Int { self.storage.count }

    /// The length of the longest value in bytes: above `Option.maximumLength` the message cannot be written.
    package var longestValue: Int { self.storage.lazy.map(\.value.readableBytes).max() ?? 0 }

    /// The same with values in bytes of their own: those of a message keep all that was read with it.
    package func compacted() -> Options {
        var bytes = ByteBuffer()
        bytes.reserveCapacity(self.storage.reduce(0) { $0 + $1.value.readableBytes })
        for option in self.storage { bytes.writeImmutableBuffer(option.value) }
        let kept = self.storage.map { option in
            Option(option.number, bytes.readSlice(length: option.value.readableBytes) ?? ByteBuffer())
        }
        return Options(ordered: kept)
    }

    package func first(_ number: OptionNumber) -> Option? {
        self.storage.first { $0.number == number }
    }

    package func all(_ number: OptionNumber) -> [Option] {
        self.storage.filter { $0.number == number }
    }

    package func contains(_ number: OptionNumber) -> Bool {
        self.storage.contains { $0.number == number }
    }

    /// Adds an option behind those of the same number.
    package mutating func append(_ number: OptionNumber, _ value: ByteBuffer = ByteBuffer()) {
        if let last = self.storage.last, last.number > number {
            let index = self.storage.firstIndex { $0.number > number } ?? self.storage.endIndex
            self.storage.insert(Option(number, value), at: index)
        } else {
            self.storage.append(Option(number, value))
        }
    }

    package mutating func append(_ number: OptionNumber, string: String) {
        self.append(number, ByteBuffer(string: string))
    }

    package mutating func append(_ number: OptionNumber, bytes: some Sequence<UInt8>) {
        self.append(number, ByteBuffer(bytes: bytes))
    }

    /// Adds an unsigned integer in its shortest form; zero is empty (RFC 7252 §3.2).
    package mutating func append(_ number: OptionNumber, uint: UInt64) {
        self.append(number, Self.shortest(uint))
    }

    /// Replaces every option of this number by one unsigned integer.
    package mutating func set(_ number: OptionNumber, uint: UInt64) {
        self.removeAll(number)
        self.append(number, uint: uint)
    }

    /// Replaces every option of this number by one string.
    package mutating func set(_ number: OptionNumber, string: String) {
        self.removeAll(number)
        self.append(number, string: string)
    }

    package mutating func removeAll(_ number: OptionNumber) {
        self.storage.removeAll { $0.number == number }
    }

    /// Removes the first option of this number, if there is one.
    package mutating func removeFirst(_ number: OptionNumber) {
        if let index = self.storage.firstIndex(where: { $0.number == number }) {
            self.storage.remove(at: index)
        }
    }

    package mutating func removeAll(where condition: (OptionNumber) -> Bool) {
        self.storage.removeAll { condition($0.number) }
    }

    /// How many bytes of an unsigned integer are sent (RFC 7252 §3.2): none for zero.
    private static func shortest(_ value: UInt64) -> ByteBuffer {
        var buffer = ByteBuffer()
        for shift in stride(from: 56, through: 0, by: -8) {
            let byte = UInt8(truncatingIfNeeded: value >> UInt64(shift))
            if byte != 0 || buffer.readableBytes > 0 {
                buffer.writeInteger(byte)
            }
        }
        return buffer
    }
}

extension Options: RandomAccessCollection {
    package var startIndex: Int { self.storage.startIndex }
    package var endIndex: Int { self.storage.endIndex }
    package subscript(position: Int) -> Option { self.storage[position] }
}

// MARK: - Typed access

extension Options {
    private func smallUInt<Value: FixedWidthInteger>(_ number: OptionNumber) -> Value? {
        self.first(number)?.uint.flatMap { Value(exactly: $0) }
    }

    /// Observe: 0 registers, 1 deregisters, in notifications any value (RFC 7641 §2).
    package var observe: UInt32? {
        get { self.smallUInt(.observe) }
        set { self.replace(.observe, newValue.map(UInt64.init)) }
    }

    package var contentFormat: ContentFormat? {
        get { (self.smallUInt(.contentFormat) as UInt16?).map(ContentFormat.init(rawValue:)) }
        set { self.replace(.contentFormat, (newValue?.rawValue).map(UInt64.init)) }
    }

    package var accept: ContentFormat? {
        get { (self.smallUInt(.accept) as UInt16?).map(ContentFormat.init(rawValue:)) }
        set { self.replace(.accept, (newValue?.rawValue).map(UInt64.init)) }
    }

    /// Max-Age in seconds; absent means 60 (RFC 7252 §5.10.5), which is the reader's to apply.
    package var maxAge: UInt32? {
        get { self.smallUInt(.maxAge) }
        set { self.replace(.maxAge, newValue.map(UInt64.init)) }
    }

    /// Hop-Limit, 1…255 (RFC 8768 §3).
    package var hopLimit: UInt8? {
        get { self.smallUInt(.hopLimit) }
        set { self.replace(.hopLimit, newValue.map(UInt64.init)) }
    }

    /// 2049: which version of the OCF payload the sender of a request wants back.
    package var ocfAcceptVersion: OCFVersion? {
        get { (self.smallUInt(.ocfAcceptContentFormatVersion) as UInt16?).map(OCFVersion.init(rawValue:)) }
        set { self.replace(.ocfAcceptContentFormatVersion, (newValue?.rawValue).map(UInt64.init)) }
    }

    /// 2053: the version of the OCF payload in this message.
    package var ocfVersion: OCFVersion? {
        get { (self.smallUInt(.ocfContentFormatVersion) as UInt16?).map(OCFVersion.init(rawValue:)) }
        set { self.replace(.ocfContentFormatVersion, (newValue?.rawValue).map(UInt64.init)) }
    }

    private mutating func replace(_ number: OptionNumber, _ value: UInt64?) {
        self.removeAll(number)
        if let value {
            self.append(number, uint: value)
        }
    }

    /// The segments of the path as text. Nil if one of them is not valid UTF-8.
    package var path: [String]? {
        get { self.texts(.uriPath) }
        set {
            self.removeAll(.uriPath)
            for segment in newValue ?? [] {
                self.append(.uriPath, string: segment)
            }
        }
    }

    /// The Uri-Query options as text, one element an option. Nil if one of them is not valid UTF-8.
    package var queries: [String]? {
        get { self.texts(.uriQuery) }
        set {
            self.removeAll(.uriQuery)
            for query in newValue ?? [] {
                self.append(.uriQuery, string: query)
            }
        }
    }

    private func texts(_ number: OptionNumber) -> [String]? {
        var result: [String] = []
        for option in self.storage where option.number == number {
            guard let text = option.string else { return nil }
            result.append(text)
        }
        return result
    }
}
