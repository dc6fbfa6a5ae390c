import CBOR

/// Reads one JSON text (RFC 8259 §2). It calls itself for what is inside a value, at most `limits.depth` times.
struct JSONParser {
    private let bytes: [UInt8]
    private let limits: DecodingLimits
    private var index = 0
    private var itemsRead = 0

    init(bytes: [UInt8], limits: DecodingLimits) {
        self.bytes = bytes
        self.limits = limits
    }

    mutating func text() throws(JSONError) -> DataItem {
        guard !self.bytes.starts(with: [0xEF, 0xBB, 0xBF]) else { throw JSONError(.byteOrderMark, at: 0) }
        self.skipBlanks()
        guard self.index < self.bytes.count else { throw JSONError(.empty, at: self.index) }
        let item = try self.value(depth: 0)
        self.skipBlanks()
        guard self.index == self.bytes.count else { throw JSONError(.trailingBytes, at: self.index) }
        return item
    }

    private var next: UInt8? { self.index < self.bytes.count ? self.bytes[self.index] : nil }

    private mutating func skipBlanks() {
        while let byte = self.next, byte == 0x20 || byte == 0x09 || byte == 0x0A || byte == 0x0D {
            self.index += 1
        }
    }

    /// The error for the byte that stands where another had to.
    private func unexpected() -> JSONError {
        self.next.map { JSONError(.unexpected($0), at: self.index) } ?? JSONError(.truncated, at: self.index)
    }

    private mutating func count() throws(JSONError) {
        self.itemsRead += 1
        guard self.itemsRead <= self.limits.items else {
            throw JSONError(.tooManyItems(maximum: self.limits.items), at: self.index)
        }
    }

    private mutating func value(depth: Int) throws(JSONError) -> DataItem {
        try self.count()
        switch self.next {
        case UInt8(ascii: "{"): return try self.object(depth: self.deeper(depth))
        case UInt8(ascii: "["): return try self.array(depth: self.deeper(depth))
        case UInt8(ascii: "\""): return .text(try self.string(maximumBytes: nil))
        case UInt8(ascii: "t"): return try self.word("true", .boolean(true))
        case UInt8(ascii: "f"): return try self.word("false", .boolean(false))
        case UInt8(ascii: "n"): return try self.word("null", .null)
        case UInt8(ascii: "-"), .some(UInt8(ascii: "0")...UInt8(ascii: "9")): return try self.number()
        default: throw self.unexpected()
        }
    }

    private func deeper(_ depth: Int) throws(JSONError) -> Int {
        guard depth < self.limits.depth else {
            throw JSONError(.tooDeep(maximum: self.limits.depth), at: self.index)
        }
        return depth + 1
    }

    private mutating func word(_ word: StaticString, _ item: DataItem) throws(JSONError) -> DataItem {
        for byte in "\(word)".utf8 {
            guard self.next == byte else { throw self.unexpected() }
            self.index += 1
        }
        return item
    }

    // MARK: Containers

    private mutating func array(depth: Int) throws(JSONError) -> DataItem {
        var elements: [DataItem] = []
        self.index += 1
        self.skipBlanks()
        if self.next == UInt8(ascii: "]") {
            self.index += 1
            return .array(elements)
        }
        while true {
            self.skipBlanks()
            elements.append(try self.value(depth: depth))
            self.skipBlanks()
            switch self.next {
            case UInt8(ascii: ","):
                self.index += 1
            case UInt8(ascii: "]"):
                self.index += 1
                return .array(elements)
            default:
                throw self.unexpected()
            }
        }
    }

    private mutating func object(depth: Int) throws(JSONError) -> DataItem {
        var pairs: [DataItem.Pair] = []
        var names: Set<DataItem> = []
        self.index += 1
        self.skipBlanks()
        if self.next == UInt8(ascii: "}") {
            self.index += 1
            return .map(pairs)
        }
        while true {
            self.skipBlanks()
            let start = self.index
            guard self.next == UInt8(ascii: "\"") else { throw self.unexpected() }
            try self.count()
            let name = DataItem.text(try self.string(maximumBytes: JSONCoding.maximumNameBytes))
            guard names.insert(name).inserted else { throw JSONError(.duplicateName, at: start) }
            self.skipBlanks()
            guard self.next == UInt8(ascii: ":") else { throw self.unexpected() }
            self.index += 1
            self.skipBlanks()
            pairs.append(.init(name, try self.value(depth: depth)))
            self.skipBlanks()
            switch self.next {
            case UInt8(ascii: ","):
                self.index += 1
            case UInt8(ascii: "}"):
                self.index += 1
                return .map(pairs)
            default:
                throw self.unexpected()
            }
        }
    }

    // MARK: Strings

    /// A string, from its first quotation mark to behind its last (RFC 8259 §7).
    private mutating func string(maximumBytes: Int?) throws(JSONError) -> String {
        let start = self.index
        self.index += 1
        var content: [UInt8] = []
        while let byte = self.next {
            if let maximumBytes, content.count > maximumBytes {
                throw JSONError(.nameTooLong(maximum: maximumBytes), at: start)
            }
            switch byte {
            case UInt8(ascii: "\""):
                self.index += 1
                guard let string = String(validating: content, as: UTF8.self) else {
                    throw JSONError(.invalidUTF8, at: start)
                }
                return string
            case UInt8(ascii: "\\"):
                content.append(contentsOf: try self.escape())
            case 0..<0x20:
                throw JSONError(.controlCharacter, at: self.index)
            default:
                content.append(byte)
                self.index += 1
            }
        }
        throw JSONError(.truncated, at: self.index)
    }

    private mutating func escape() throws(JSONError) -> [UInt8] {
        let start = self.index
        self.index += 1
        guard let byte = self.next else { throw JSONError(.truncated, at: self.index) }
        self.index += 1
        switch byte {
        case UInt8(ascii: "\""), UInt8(ascii: "\\"), UInt8(ascii: "/"): return [byte]
        case UInt8(ascii: "b"): return [0x08]
        case UInt8(ascii: "f"): return [0x0C]
        case UInt8(ascii: "n"): return [0x0A]
        case UInt8(ascii: "r"): return [0x0D]
        case UInt8(ascii: "t"): return [0x09]
        case UInt8(ascii: "u"): return try self.unicodeEscape(start)
        default: throw JSONError(.malformedEscape, at: start)
        }
    }

    private mutating func unicodeEscape(_ start: Int) throws(JSONError) -> [UInt8] {
        let unit = try self.fourDigits(start)
        var value = UInt32(unit)
        if (0xD800..<0xDC00).contains(unit) {
            guard self.next == UInt8(ascii: "\\") else { throw JSONError(.loneSurrogate, at: start) }
            self.index += 1
            guard self.next == UInt8(ascii: "u") else { throw JSONError(.loneSurrogate, at: start) }
            self.index += 1
            let low = try self.fourDigits(start)
            guard (0xDC00..<0xE000).contains(low) else { throw JSONError(.loneSurrogate, at: start) }
            value = 0x1_0000 + (UInt32(unit) - 0xD800) << 10 + (UInt32(low) - 0xDC00)
        }
        // Nil for a low surrogate that comes first.
        guard let scalar = UnicodeScalar(value) else { throw JSONError(.loneSurrogate, at: start) }
        return Array(Character(scalar).utf8)
    }

    private mutating func fourDigits(_ start: Int) throws(JSONError) -> UInt16 {
        var value: UInt16 = 0
        for _ in 0..<4 {
            guard let byte = self.next else { throw JSONError(.truncated, at: self.index) }
            guard let digit = Character(UnicodeScalar(byte)).hexDigitValue else {
                throw JSONError(.malformedEscape, at: start)
            }
            value = value << 4 | UInt16(digit)
            self.index += 1
        }
        return value
    }

    // MARK: Numbers

    /// A number (RFC 8259 §6). Without fraction and exponent it is an integer as far as 64 bits and a sign go.
    private mutating func number() throws(JSONError) -> DataItem {
        let start = self.index
        let isNegative = self.next == UInt8(ascii: "-")
        if isNegative { self.index += 1 }
        let firstDigit = self.index
        guard self.digits() > 0 else { throw JSONError(.malformedNumber, at: start) }
        if self.bytes[firstDigit] == UInt8(ascii: "0"), self.index - firstDigit > 1 {
            throw JSONError(.malformedNumber, at: start)
        }
        let integerEnd = self.index
        if self.next == UInt8(ascii: ".") {
            self.index += 1
            guard self.digits() > 0 else { throw JSONError(.malformedNumber, at: start) }
        }
        if self.next == UInt8(ascii: "e") || self.next == UInt8(ascii: "E") {
            self.index += 1
            if self.next == UInt8(ascii: "+") || self.next == UInt8(ascii: "-") { self.index += 1 }
            guard self.digits() > 0 else { throw JSONError(.malformedNumber, at: start) }
        }
        guard self.index - start <= JSONCoding.maximumNumberBytes else {
            throw JSONError(.numberOutOfRange, at: start)
        }
        if self.index == integerEnd,
            let magnitude = UInt64(String(decoding: self.bytes[firstDigit..<integerEnd], as: UTF8.self))
        {
            // A magnitude of 1 or more lessened by 1 is not negative; -0 has no integer form of its own.
            return isNegative && magnitude > 0 ? .negative(magnitude - 1) : .unsigned(magnitude)
        }
        let text = String(decoding: self.bytes[start..<self.index], as: UTF8.self)
        guard let value = Double(text), value.isFinite else { throw JSONError(.numberOutOfRange, at: start) }
        return .float(value)
    }

    private mutating func digits() -> Int {
        let start = self.index
        while let byte = self.next, (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(byte) {
            self.index += 1
        }
        return self.index - start
    }
}
