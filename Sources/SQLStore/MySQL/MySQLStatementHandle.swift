import CMariaDB

/// A prepared statement and the memory its parameters and results pass through. The library keeps pointers into it
/// between calls, so it lives as long as the statement.
final class MySQLStatementHandle {
    let statement: UnsafeMutablePointer<MYSQL_STMT>
    private let parameters: UnsafeMutableBufferPointer<MYSQL_BIND>
    private let results: UnsafeMutableBufferPointer<MYSQL_BIND>
    private let integers: UnsafeMutableBufferPointer<Int64>
    private let lengths: UnsafeMutableBufferPointer<UInt>
    private let nulls: UnsafeMutableBufferPointer<my_bool>
    private let columns: [Column]

    private enum Column {
        case integer
        case text
        case blob
    }

    /// A value is longer than any column of ours: not ours, then.
    static let maximumValueBytes = 16 << 20

    /// - Parameter statement: prepared already.
    init(prepared statement: UnsafeMutablePointer<MYSQL_STMT>) {
        self.statement = statement
        self.columns = Self.columns(of: statement)
        let count = Int(mysql_stmt_param_count(statement))
        self.parameters = .allocate(capacity: count)
        self.parameters.initialize(repeating: MYSQL_BIND())
        self.results = .allocate(capacity: self.columns.count)
        self.results.initialize(repeating: MYSQL_BIND())
        self.integers = .allocate(capacity: max(count, self.columns.count))
        self.integers.initialize(repeating: 0)
        self.lengths = .allocate(capacity: self.columns.count)
        self.lengths.initialize(repeating: 0)
        self.nulls = .allocate(capacity: self.columns.count)
        self.nulls.initialize(repeating: 0)
    }

    deinit {
        self.parameters.deallocate()
        self.results.deallocate()
        self.integers.deallocate()
        self.lengths.deallocate()
        self.nulls.deallocate()
    }

    var hasResult: Bool { !self.columns.isEmpty }

    private static func columns(of statement: UnsafeMutablePointer<MYSQL_STMT>) -> [Column] {
        guard let metadata = mysql_stmt_result_metadata(statement) else { return [] }
        defer { mysql_free_result(metadata) }
        return (0..<mysql_num_fields(metadata)).map { index in
            guard let field = mysql_fetch_field_direct(metadata, index) else { return .blob }
            switch field.pointee.type {
            case MYSQL_TYPE_LONGLONG, MYSQL_TYPE_LONG, MYSQL_TYPE_SHORT, MYSQL_TYPE_TINY, MYSQL_TYPE_INT24:
                return .integer
            default:
                // 63 is the character set of bytes that are no text.
                return field.pointee.charsetnr == 63 ? .blob : .text
            }
        }
    }

    /// Runs `body` with the values bound; their bytes live until it returns.
    func withBound<R>(_ values: [SQLValue], _ body: () throws(SQLError) -> R) throws(SQLError) -> R {
        guard values.count == self.parameters.count else {
            throw SQLError(.statement, "\(values.count) values for \(self.parameters.count) parameters")
        }
        guard !values.isEmpty else { return try body() }
        let scratch = UnsafeMutableRawBufferPointer.allocate(byteCount: max(1, Self.size(of: values)), alignment: 1)
        defer { scratch.deallocate() }
        var free = scratch[...]
        for (index, value) in values.enumerated() {
            var bind = MYSQL_BIND()
            switch value {
            case .null:
                bind.buffer_type = MYSQL_TYPE_NULL
            case .integer(let number):
                self.integers[index] = number
                bind.buffer_type = MYSQL_TYPE_LONGLONG
                bind.buffer = UnsafeMutableRawPointer(self.integers.baseAddress?.advanced(by: index))
            case .text(let text):
                bind.buffer_type = MYSQL_TYPE_STRING
                Self.put(text.utf8, into: &free, &bind)
            case .blob(let bytes):
                bind.buffer_type = MYSQL_TYPE_BLOB
                Self.put(bytes, into: &free, &bind)
            }
            self.parameters[index] = bind
        }
        guard mysql_stmt_bind_param(self.statement, self.parameters.baseAddress) == 0 else {
            throw SQLError(
                .statement, "parameters cannot be bound: \(String(cString: mysql_stmt_error(self.statement)))")
        }
        return try body()
    }

    private static func size(of values: [SQLValue]) -> Int {
        values.reduce(0) { sum, value in
            switch value {
            case .null, .integer: sum
            case .text(let text): sum + text.utf8.count
            case .blob(let bytes): sum + bytes.count
            }
        }
    }

    private static func put(
        _ bytes: some Collection<UInt8>, into free: inout Slice<UnsafeMutableRawBufferPointer>, _ bind: inout MYSQL_BIND
    ) {
        let place = UnsafeMutableRawBufferPointer(rebasing: free.prefix(bytes.count))
        place.copyBytes(from: bytes)
        free = free.dropFirst(bytes.count)
        // Empty text needs an address as well: without one it would be NULL.
        bind.buffer = place.baseAddress ?? UnsafeMutableRawPointer(bitPattern: 1)
        bind.buffer_length = UInt(bytes.count)
    }

    /// Prepares for fetching: integers are written into their slots, everything else is first asked for its length.
    func bindResult() -> Bool {
        for index in self.columns.indices {
            var bind = MYSQL_BIND()
            bind.is_null = self.nulls.baseAddress?.advanced(by: index)
            bind.length = self.lengths.baseAddress?.advanced(by: index)
            switch self.columns[index] {
            case .integer:
                bind.buffer_type = MYSQL_TYPE_LONGLONG
                bind.buffer = UnsafeMutableRawPointer(self.integers.baseAddress?.advanced(by: index))
            case .text, .blob:
                bind.buffer_type = MYSQL_TYPE_BLOB
            }
            self.results[index] = bind
        }
        return mysql_stmt_bind_result(self.statement, self.results.baseAddress) == 0
    }

    /// The row that was fetched last.
    func row() throws(SQLError) -> SQLRow {
        var values: [SQLValue] = []
        values.reserveCapacity(self.columns.count)
        for index in self.columns.indices {
            guard self.nulls[index] == 0 else {
                values.append(.null)
                continue
            }
            switch self.columns[index] {
            case .integer: values.append(.integer(self.integers[index]))
            case .text: values.append(.text(String(decoding: try self.bytes(of: index), as: UTF8.self)))
            case .blob: values.append(.blob(try self.bytes(of: index)))
            }
        }
        return SQLRow(values)
    }

    private func bytes(of column: Int) throws(SQLError) -> [UInt8] {
        let count = self.lengths[column]
        guard count > 0 else { return [] }
        guard count <= UInt(Self.maximumValueBytes) else {
            throw SQLError(.damaged, "column \(column) has \(count) bytes")
        }
        var bind = MYSQL_BIND()
        bind.buffer_type = MYSQL_TYPE_BLOB
        bind.buffer_length = count
        var isFetched = false
        let bytes = [UInt8](unsafeUninitializedCapacity: Int(count)) { buffer, initialized in
            bind.buffer = UnsafeMutableRawPointer(buffer.baseAddress)
            isFetched = mysql_stmt_fetch_column(self.statement, &bind, UInt32(column), 0) == 0
            initialized = isFetched ? Int(count) : 0
        }
        guard isFetched else { throw SQLError(.damaged, "column \(column) cannot be read") }
        return bytes
    }
}
