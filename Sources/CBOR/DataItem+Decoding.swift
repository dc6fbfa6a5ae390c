package import NIOCore

extension DataItem {
    /// Decodes exactly one data item with nothing behind it; definite and indefinite lengths are taken alike.
    ///
    /// - Throws: `CBORError` for what is not well-formed (RFC 8949 §5.3.1), invalid text, duplicate map keys, and
    ///   whatever exceeds `limits`.
    package init(decoding buffer: ByteBuffer, limits: DecodingLimits = .standard) throws(CBORError) {
        guard buffer.readableBytes <= limits.bytes else {
            throw CBORError(.tooLarge(bytes: buffer.readableBytes, maximum: limits.bytes), at: 0)
        }
        guard buffer.readableBytes > 0 else { throw CBORError(.empty, at: 0) }
        var decoder = Decoder(buffer: buffer, limits: limits)
        self = try decoder.item(depth: 0)
        guard decoder.buffer.readableBytes == 0 else {
            throw CBORError(.trailingBytes(count: decoder.buffer.readableBytes), at: decoder.offset)
        }
    }
}

/// Reads items off a buffer.
///
///     7 6 5 4 3 2 1 0
///    +-----+---------+------------------+
///    |major| add.inf.| argument 0…8 byte| …
///    +-----+---------+------------------+
///
/// It calls itself for what is inside an item, at most `limits.depth` times: that bound, not the input, is what the
/// stack is sized by.
private struct Decoder {
    var buffer: ByteBuffer
    let limits: DecodingLimits
    private let start: Int
    private var itemsRead = 0

    init(buffer: ByteBuffer, limits: DecodingLimits) {
        self.buffer = buffer
        self.limits = limits
        self.start = buffer.readerIndex
    }

    var offset: Int { self.buffer.readerIndex - self.start }

    /// The first byte of an item (RFC 8949 §3).
    private struct Head {
        let major: UInt8
        let information: UInt8
        let offset: Int

        var isBreak: Bool { self.major == 7 && self.information == 31 }
        var isIndefinite: Bool { self.information == 31 }
    }

    mutating func item(depth: Int) throws(CBORError) -> DataItem {
        try self.item(self.head(), depth: depth)
    }

    private mutating func head(orElse code: CBORError.Code = .truncated) throws(CBORError) -> Head {
        let offset = self.offset
        guard let byte = self.buffer.readInteger(as: UInt8.self) else { throw CBORError(code, at: offset) }
        return Head(major: byte >> 5, information: byte & 0b1_1111, offset: offset)
    }

    private mutating func item(_ head: Head, depth: Int) throws(CBORError) -> DataItem {
        try self.count(at: head.offset)
        switch head.major {
        case 0: return .unsigned(try self.argument(head))
        case 1: return .negative(try self.argument(head))
        case 2: return .bytes(try self.bytes(head))
        case 3: return .text(try self.text(head))
        case 4: return .array(try self.array(head, depth: self.deeper(depth, at: head.offset)))
        case 5: return .map(try self.map(head, depth: self.deeper(depth, at: head.offset)))
        case 6:
            let inside = try self.deeper(depth, at: head.offset)
            let tag = try self.argument(head)
            return .tagged(tag, try self.item(depth: inside))
        default: return try self.simpleOrFloat(head)
        }
    }

    private mutating func count(at offset: Int) throws(CBORError) {
        self.itemsRead += 1
        guard self.itemsRead <= self.limits.items else {
            throw CBORError(.tooManyItems(maximum: self.limits.items), at: offset)
        }
    }

    private func deeper(_ depth: Int, at offset: Int) throws(CBORError) -> Int {
        guard depth < self.limits.depth else { throw CBORError(.tooDeep(maximum: self.limits.depth), at: offset) }
        return depth + 1
    }

    private mutating func integer<Value: FixedWidthInteger>(
        _ type: Value.Type, at offset: Int
    ) throws(CBORError) -> Value {
        guard let value = self.buffer.readInteger(as: type) else { throw CBORError(.truncated, at: offset) }
        return value
    }

    private mutating func argument(_ head: Head) throws(CBORError) -> UInt64 {
        switch head.information {
        case 0..<24: return UInt64(head.information)
        case 24: return UInt64(try self.integer(UInt8.self, at: head.offset))
        case 25: return UInt64(try self.integer(UInt16.self, at: head.offset))
        case 26: return UInt64(try self.integer(UInt32.self, at: head.offset))
        case 27: return try self.integer(UInt64.self, at: head.offset)
        default: throw CBORError(.reservedAdditionalInformation(head.information), at: head.offset)
        }
    }

    /// A declared count of things that take at least `bytesEach` bytes: compared with what is left, in 64 bits and
    /// before anything is allocated for it.
    private mutating func declared(_ head: Head, bytesEach: UInt64) throws(CBORError) -> Int {
        let declared = try self.argument(head)
        let remaining = self.buffer.readableBytes
        guard declared <= UInt64(remaining) / bytesEach else {
            throw CBORError(.lengthPastEnd(declared: declared, remaining: remaining), at: head.offset)
        }
        return Int(declared)
    }

    // MARK: Strings

    private mutating func definiteBytes(_ head: Head) throws(CBORError) -> ByteBuffer {
        let length = try self.declared(head, bytesEach: 1)
        guard let slice = self.buffer.readSlice(length: length) else { throw CBORError(.truncated, at: head.offset) }
        return slice
    }

    private mutating func bytes(_ head: Head) throws(CBORError) -> [UInt8] {
        guard head.isIndefinite else { return Array(try self.definiteBytes(head).readableBytesView) }
        var bytes: [UInt8] = []
        while let chunk = try self.chunk(of: head) {
            bytes.append(contentsOf: try self.definiteBytes(chunk).readableBytesView)
        }
        return bytes
    }

    private mutating func text(_ head: Head) throws(CBORError) -> String {
        guard head.isIndefinite else { return try self.definiteText(head) }
        var text = ""
        // Each chunk is valid text of its own: no character is split (RFC 8949 §3.2.3).
        while let chunk = try self.chunk(of: head) {
            text += try self.definiteText(chunk)
        }
        return text
    }

    private mutating func definiteText(_ head: Head) throws(CBORError) -> String {
        let bytes = try self.definiteBytes(head)
        guard let text = String(validating: bytes.readableBytesView, as: UTF8.self) else {
            throw CBORError(.invalidUTF8, at: head.offset)
        }
        return text
    }

    /// The head of the next chunk of an indefinite-length string, nil at its break.
    private mutating func chunk(of string: Head) throws(CBORError) -> Head? {
        let chunk = try self.head(orElse: .missingBreak)
        if chunk.isBreak { return nil }
        guard chunk.major == string.major, !chunk.isIndefinite else { throw CBORError(.wrongChunk, at: chunk.offset) }
        try self.count(at: chunk.offset)
        return chunk
    }

    // MARK: Containers

    private mutating func array(_ head: Head, depth: Int) throws(CBORError) -> [DataItem] {
        var elements: [DataItem] = []
        guard !head.isIndefinite else {
            while true {
                let next = try self.head(orElse: .missingBreak)
                if next.isBreak { return elements }
                elements.append(try self.item(next, depth: depth))
            }
        }
        let count = try self.declared(head, bytesEach: 1)
        try self.reserve(count, at: head.offset)
        elements.reserveCapacity(count)
        for _ in 0..<count {
            elements.append(try self.item(depth: depth))
        }
        return elements
    }

    private mutating func map(_ head: Head, depth: Int) throws(CBORError) -> [DataItem.Pair] {
        var entries = Entries()
        guard !head.isIndefinite else {
            while true {
                let next = try self.head(orElse: .missingBreak)
                if next.isBreak { return entries.pairs }
                let key = try self.item(next, depth: depth)
                let second = try self.head(orElse: .missingBreak)
                guard !second.isBreak else { throw CBORError(.keyWithoutValue, at: second.offset) }
                try entries.append(key, self.item(second, depth: depth), at: next.offset)
            }
        }
        let count = try self.declared(head, bytesEach: 2)
        // Twice a count of which twice fits what remains: cannot overflow.
        try self.reserve(2 * count, at: head.offset)
        entries.reserveCapacity(count)
        for _ in 0..<count {
            let offset = self.offset
            let key = try self.item(depth: depth)
            try entries.append(key, self.item(depth: depth), at: offset)
        }
        return entries.pairs
    }

    /// Refuses a declared number of items that would exceed the limit, before space is made for them.
    private func reserve(_ count: Int, at offset: Int) throws(CBORError) {
        guard count <= self.limits.items - self.itemsRead else {
            throw CBORError(.tooManyItems(maximum: self.limits.items), at: offset)
        }
    }

    /// The entries of one map, each key once.
    private struct Entries {
        private(set) var pairs: [DataItem.Pair] = []
        private var keys: Set<DataItem> = []
        /// Below this a walk over the keys is cheaper than a set.
        private static let fewKeys = 8

        mutating func reserveCapacity(_ count: Int) {
            self.pairs.reserveCapacity(count)
        }

        mutating func append(_ key: DataItem, _ value: DataItem, at offset: Int) throws(CBORError) {
            if self.pairs.count < Self.fewKeys {
                for pair in self.pairs where pair.key == key {
                    throw CBORError(.duplicateKey, at: offset)
                }
            } else {
                if self.keys.isEmpty {
                    self.keys = Set(self.pairs.map(\.key))
                }
                guard self.keys.insert(key).inserted else { throw CBORError(.duplicateKey, at: offset) }
            }
            self.pairs.append(DataItem.Pair(key, value))
        }
    }

    // MARK: Major type 7

    private mutating func simpleOrFloat(_ head: Head) throws(CBORError) -> DataItem {
        switch head.information {
        case 0..<20: return .simple(head.information)
        case 20: return .boolean(false)
        case 21: return .boolean(true)
        case 22: return .null
        case 23: return .undefined
        case 24:
            let value = try self.integer(UInt8.self, at: head.offset)
            guard value >= 32 else { throw CBORError(.reservedSimpleValue(value), at: head.offset) }
            return .simple(value)
        case 25: return .float(Double(Float16(bitPattern: try self.integer(UInt16.self, at: head.offset))))
        case 26: return .float(Double(Float(bitPattern: try self.integer(UInt32.self, at: head.offset))))
        case 27: return .float(Double(bitPattern: try self.integer(UInt64.self, at: head.offset)))
        case 31: throw CBORError(.unexpectedBreak, at: head.offset)
        default: throw CBORError(.reservedAdditionalInformation(head.information), at: head.offset)
        }
    }
}
