import CSQLite

/// One connection to a SQLite file.
final class SQLiteConnection: SQLConnection {
    let dialect = SQLDialect.sqlite
    private(set) var isUsable = true

    private let handle: OpaquePointer
    private var prepared: [String: OpaquePointer] = [:]
    /// Read by SQLite's progress handler, in the middle of a statement.
    private let deadline: UnsafeMutablePointer<ContinuousClock.Instant>

    /// Virtual machine instructions between two looks at the clock: some tens of microseconds.
    private static let instructionsPerLook: Int32 = 1000

    init(path: String, access: SQLAccess) throws(SQLError) {
        var opened: OpaquePointer?
        let status = sqlite3_open_v2(
            path, &opened, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE, nil)
        guard status == SQLITE_OK, let opened else {
            let error = Self.error(status, opened)
            sqlite3_close_v2(opened)
            throw error
        }
        self.handle = opened
        self.deadline = .allocate(capacity: 1)
        self.deadline.initialize(to: .now + .seconds(10))
        sqlite3_progress_handler(
            opened, Self.instructionsPerLook,
            { context in
                guard let context else { return 0 }
                let deadline = context.assumingMemoryBound(to: ContinuousClock.Instant.self).pointee
                return ContinuousClock.now < deadline ? 0 : 1
            }, self.deadline)
        self.waitForLocks()
        do throws(SQLError) {
            try self.configure(access)
        } catch {
            self.close()
            throw error
        }
    }

    private func configure(_ access: SQLAccess) throws(SQLError) {
        switch access {
        case .write:
            var rows = try self.query(SQLStatement("PRAGMA journal_mode = WAL"), [])
            guard !rows.isEmpty, try rows[0].text() == "wal" else {
                throw SQLError(.cannotOpen, "its file system does not carry write-ahead logging")
            }
            // A one-time code once spent must stay spent, and a revoked token revoked, after the power failed: every
            // commit waits for the disk. NORMAL would lose the last ones.
            try self.run("PRAGMA synchronous = FULL")
        case .read:
            try self.run("PRAGMA query_only = ON")
        }
        try self.run("PRAGMA foreign_keys = ON")
    }

    deinit {
        self.close()
        self.deadline.deallocate()
    }

    /// Ends the connection; nothing else may be called on it afterwards.
    func close() {
        guard self.isOpen else { return }
        self.isOpen = false
        self.isUsable = false
        for statement in self.prepared.values { sqlite3_finalize(statement) }
        self.prepared = [:]
        sqlite3_close_v2(self.handle)
    }

    private var isOpen = true

    func setDeadline(_ deadline: ContinuousClock.Instant) {
        self.deadline.pointee = deadline
        self.waitForLocks()
    }

    /// Another process may hold the lock for as long as there is time.
    private func waitForLocks() {
        let milliseconds = (self.deadline.pointee - .now) / .milliseconds(1)
        sqlite3_busy_timeout(self.handle, Int32(min(max(1, milliseconds), 60_000)))
    }
}

// Statements.
extension SQLiteConnection {
    func begin(_ access: SQLAccess) throws(SQLError) {
        switch access {
        // Takes the lock at once: a lock taken only at the first write can fail after a read was acted on.
        case .write: try self.run("BEGIN IMMEDIATE")
        case .read: try self.run("BEGIN")
        }
    }

    func run(_ text: String) throws(SQLError) {
        let status = sqlite3_exec(self.handle, text, nil, nil, nil)
        guard status == SQLITE_OK else { throw self.error(status) }
    }

    func execute(_ statement: SQLStatement, _ values: [SQLValue]) throws(SQLError) {
        _ = try self.query(statement, values)
    }

    func query(_ statement: SQLStatement, _ values: [SQLValue]) throws(SQLError) -> [SQLRow] {
        let prepared = try self.prepare(statement)
        defer {
            sqlite3_reset(prepared)
            sqlite3_clear_bindings(prepared)
        }
        for (index, value) in values.enumerated() {
            let status = Self.bind(value, to: prepared, at: Int32(index + 1))
            guard status == SQLITE_OK else { throw self.error(status) }
        }
        var rows: [SQLRow] = []
        while true {
            switch sqlite3_step(prepared) {
            case SQLITE_ROW: rows.append(Self.row(of: prepared))
            case SQLITE_DONE: return rows
            case let status: throw self.error(status)
            }
        }
    }

    func commit() throws(SQLError) {
        // What was done in time is not thrown away for the time its commit takes.
        self.deadline.pointee = .now + .seconds(60)
        try self.run("COMMIT")
    }

    func rollback() {
        guard self.isOpen, sqlite3_get_autocommit(self.handle) == 0 else { return }
        self.deadline.pointee = .now + .seconds(60)
        if sqlite3_exec(self.handle, "ROLLBACK", nil, nil, nil) != SQLITE_OK { self.isUsable = false }
    }

    /// Statements are few and fixed, so every one is kept.
    private func prepare(_ statement: SQLStatement) throws(SQLError) -> OpaquePointer {
        let text = self.dialect.text(of: statement)
        if let prepared = self.prepared[text] { return prepared }
        var prepared: OpaquePointer?
        let status = sqlite3_prepare_v3(
            self.handle, text, -1, UInt32(SQLITE_PREPARE_PERSISTENT), &prepared, nil)
        guard status == SQLITE_OK, let prepared else { throw self.error(status) }
        self.prepared[text] = prepared
        return prepared
    }

    private static func bind(_ value: SQLValue, to statement: OpaquePointer, at index: Int32) -> Int32 {
        // SQLITE_TRANSIENT, a C macro that is not imported: SQLite copies what it is given.
        let copied = unsafeBitCast(OpaquePointer(bitPattern: -1), to: sqlite3_destructor_type.self)
        switch value {
        case .null:
            return sqlite3_bind_null(statement, index)
        case .integer(let number):
            return sqlite3_bind_int64(statement, index, number)
        case .text(var text):
            return text.withUTF8 { bytes in
                // Without a base address SQLite would bind NULL.
                guard let base = bytes.baseAddress else { return sqlite3_bind_text(statement, index, "", 0, copied) }
                return base.withMemoryRebound(to: CChar.self, capacity: bytes.count) { characters in
                    sqlite3_bind_text64(
                        statement, index, characters, UInt64(bytes.count), copied, UInt8(SQLITE_UTF8))
                }
            }
        case .blob(let bytes):
            guard !bytes.isEmpty else { return sqlite3_bind_zeroblob(statement, index, 0) }
            return bytes.withUnsafeBytes {
                sqlite3_bind_blob64(statement, index, $0.baseAddress, UInt64($0.count), copied)
            }
        }
    }

    private static func row(of statement: OpaquePointer) -> SQLRow {
        SQLRow(
            (0..<sqlite3_column_count(statement)).map { column in
                switch sqlite3_column_type(statement, column) {
                case SQLITE_INTEGER:
                    return .integer(sqlite3_column_int64(statement, column))
                case SQLITE_TEXT:
                    let start = sqlite3_column_text(statement, column)
                    let count = Int(sqlite3_column_bytes(statement, column))
                    return .text(String(decoding: UnsafeBufferPointer(start: start, count: count), as: UTF8.self))
                case SQLITE_BLOB:
                    let start = sqlite3_column_blob(statement, column)
                    let count = Int(sqlite3_column_bytes(statement, column))
                    return .blob(Array(UnsafeRawBufferPointer(start: start, count: count)))
                default:
                    return .null
                }
            })
    }
}

// Errors.
extension SQLiteConnection {
    private func error(_ status: Int32) -> SQLError {
        Self.error(status, self.handle)
    }

    /// The result code in our words (SQLite's documentation, result and error codes).
    private static func error(_ status: Int32, _ handle: OpaquePointer?) -> SQLError {
        let said = handle.flatMap { sqlite3_errmsg($0) }.map { String(cString: $0) } ?? ""
        let name = String(cString: sqlite3_errstr(status))
        let message = said.isEmpty || said == name ? name : said
        switch status & 0xFF {
        case SQLITE_BUSY, SQLITE_LOCKED: return SQLError(.locked, message)
        case SQLITE_INTERRUPT: return SQLError(.late, "the call took too long and was interrupted")
        case SQLITE_FULL: return SQLError(.diskFull, message)
        case SQLITE_READONLY, SQLITE_PERM: return SQLError(.readOnly, message)
        case SQLITE_IOERR: return SQLError(.inputOutput, "\(message) (SQLite code \(status))")
        case SQLITE_CANTOPEN, SQLITE_AUTH: return SQLError(.cannotOpen, message)
        case SQLITE_NOTADB: return SQLError(.notADatabase, message)
        case SQLITE_CORRUPT: return SQLError(.damaged, message)
        case SQLITE_NOMEM: return SQLError(.outOfMemory, message)
        case SQLITE_CONSTRAINT:
            // SQLITE_CONSTRAINT_FOREIGNKEY is 787, the other keys are about rows that are there.
            return SQLError(status == 787 ? .missing : .duplicate, message)
        default: return SQLError(.statement, "\(message) (SQLite code \(status))")
        }
    }
}
