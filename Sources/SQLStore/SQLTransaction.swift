import Cloud

/// One transaction on one connection. Errors of the database become the domain's here.
final class SQLTransaction: CloudTransaction {
    private let connection: any SQLConnection
    private let store: String
    /// How many statements may still follow.
    private var allowance: Int
    private var failure: SQLError?

    /// - Parameter statements: more are refused.
    init(_ connection: any SQLConnection, store: String, statements: Int = .max) {
        self.connection = connection
        self.store = store
        self.allowance = statements
    }

    /// True when another transaction got in the way: run again, this one finds what that one left.
    var mayRunAgain: Bool {
        switch self.failure?.kind {
        case .deadlock, .duplicate: true
        case nil, .locked, .late, .missing, .diskFull, .readOnly, .inputOutput, .cannotOpen, .notADatabase, .damaged,
            .newerSchema, .schemaMissing, .exists, .unreachable, .lost, .commitUnknown, .refused, .unknownDatabase,
            .untrusted, .unsupported, .tooManyConnections, .tooLarge, .closed, .overloaded, .outOfMemory, .statement:
            false
        }
    }

    func begin(_ access: SQLAccess) throws(CloudError) {
        try self.guarded { connection throws(SQLError) in try connection.begin(access) }
    }

    func commit() throws(CloudError) {
        try self.guarded { connection throws(SQLError) in try connection.commit() }
    }

    func execute(_ statement: SQLStatement, _ values: SQLValue...) throws(CloudError) {
        try self.execute(statement, values)
    }

    func execute(_ statement: SQLStatement, _ values: [SQLValue]) throws(CloudError) {
        try self.guarded { connection throws(SQLError) in try connection.execute(statement, values) }
    }

    func first<T>(
        _ statement: SQLStatement, _ values: SQLValue..., read: (inout SQLRow) throws(SQLError) -> T
    ) throws(CloudError) -> T? {
        try self.guarded { connection throws(SQLError) in
            guard var row = try connection.query(statement, values).first else { return nil }
            return try read(&row)
        }
    }

    func all<T>(
        _ statement: SQLStatement, _ values: SQLValue..., read: (inout SQLRow) throws(SQLError) -> T
    ) throws(CloudError) -> [T] {
        try self.all(statement, values, read: read)
    }

    func all<T>(
        _ statement: SQLStatement, _ values: [SQLValue], read: (inout SQLRow) throws(SQLError) -> T
    ) throws(CloudError) -> [T] {
        try self.guarded { connection throws(SQLError) in
            var result: [T] = []
            for var row in try connection.query(statement, values) {
                result.append(try read(&row))
            }
            return result
        }
    }

    private func guarded<T>(_ body: (any SQLConnection) throws(SQLError) -> T) throws(CloudError) -> T {
        do throws(SQLError) {
            guard self.allowance > 0 else {
                throw SQLError(.statement, "more than one question, and no transaction around them")
            }
            self.allowance -= 1
            return try body(self.connection)
        } catch {
            self.failure = error
            throw error.cloudError(store: self.store)
        }
    }
}
