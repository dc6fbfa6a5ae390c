import Cloud

/// What goes into a statement and what comes out of one: the four kinds both databases share.
package enum SQLValue: Hashable, Sendable {
    case null
    case integer(Int64)
    case text(String)
    case blob([UInt8])
}

extension SQLValue {
    init(_ id: UserID) { self = .text(id.text) }
    init(_ id: DeviceID) { self = .text(id.text) }
    init(_ id: DeviceID?) { self = id.map { .text($0.text) } ?? .null }
    init(_ id: FamilyID) { self = .text(id.text) }
    init(_ id: FamilyID?) { self = id.map { .text($0.text) } ?? .null }
    init(_ hash: SecretHash) { self = .blob(hash.bytes) }
    init(_ moment: Timestamp) { self = .integer(moment.milliseconds) }
    init(_ moment: Timestamp?) { self = moment.map { .integer($0.milliseconds) } ?? .null }
    init(_ number: Int) { self = .integer(Int64(number)) }
    init(_ text: String?) { self = text.map { .text($0) } ?? .null }
    init(_ bytes: [UInt8]?) { self = bytes.map { .blob($0) } ?? .null }
}

/// The columns of one row, taken from left to right. A column of another kind than expected means a database that
/// somebody else changed or that is damaged.
package struct SQLRow: Sendable {
    private let values: [SQLValue]
    private var position = 0

    package init(_ values: [SQLValue]) {
        self.values = values
    }

    private mutating func next() throws(SQLError) -> SQLValue {
        guard self.position < self.values.count else { throw self.unexpected("another column") }
        defer { self.position += 1 }
        return self.values[self.position]
    }

    private func unexpected(_ expected: String) -> SQLError {
        SQLError(.damaged, "column \(self.position) is not \(expected)")
    }

    mutating func integer() throws(SQLError) -> Int64 {
        guard let value = try self.optionalInteger() else { throw self.unexpected("an integer") }
        return value
    }

    mutating func optionalInteger() throws(SQLError) -> Int64? {
        switch try self.next() {
        case .null: return nil
        case .integer(let value): return value
        case .text, .blob: throw self.unexpected("an integer")
        }
    }

    mutating func text() throws(SQLError) -> String {
        guard let value = try self.optionalText() else { throw self.unexpected("text") }
        return value
    }

    mutating func optionalText() throws(SQLError) -> String? {
        switch try self.next() {
        case .null: return nil
        case .text(let value): return value
        // What keeps text as bytes so as to compare it exactly gives it back as bytes.
        case .blob(let bytes): return String(decoding: bytes, as: UTF8.self)
        case .integer: throw self.unexpected("text")
        }
    }

    mutating func blob() throws(SQLError) -> [UInt8] {
        guard let value = try self.optionalBlob() else { throw self.unexpected("a blob") }
        return value
    }

    mutating func optionalBlob() throws(SQLError) -> [UInt8]? {
        switch try self.next() {
        case .null: return nil
        case .blob(let bytes): return bytes
        case .text, .integer: throw self.unexpected("a blob")
        }
    }
}

extension SQLRow {
    mutating func number() throws(SQLError) -> Int {
        guard let value = Int(exactly: try self.integer()) else { throw self.unexpected("a number") }
        return value
    }

    mutating func moment() throws(SQLError) -> Timestamp { Timestamp(milliseconds: try self.integer()) }

    mutating func optionalMoment() throws(SQLError) -> Timestamp? {
        try self.optionalInteger().map(Timestamp.init(milliseconds:))
    }

    mutating func userID() throws(SQLError) -> UserID { UserID(stored: try self.text()) }
    mutating func deviceID() throws(SQLError) -> DeviceID { DeviceID(stored: try self.text()) }

    mutating func optionalDeviceID() throws(SQLError) -> DeviceID? {
        try self.optionalText().map(DeviceID.init(stored:))
    }

    mutating func familyID() throws(SQLError) -> FamilyID { FamilyID(stored: try self.text()) }

    mutating func optionalFamilyID() throws(SQLError) -> FamilyID? {
        try self.optionalText().map(FamilyID.init(stored:))
    }

    mutating func word<Word: RawRepresentable<String>>(_ type: Word.Type) throws(SQLError) -> Word {
        guard let word = Word(rawValue: try self.text()) else { throw self.unexpected("a \(type)") }
        return word
    }

    mutating func optionalWord<Word: RawRepresentable<String>>(_ type: Word.Type) throws(SQLError) -> Word? {
        guard let text = try self.optionalText() else { return nil }
        guard let word = Word(rawValue: text) else { throw self.unexpected("a \(type)") }
        return word
    }
}
