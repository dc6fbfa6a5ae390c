import Cloud

/// One transaction on one connection. Errors of the database become the domain's here.
final class SQLTransaction: CloudTransaction {
    private let connection: any SQLConnection
    private let store: String
    private var failure: SQLError?

    init(_ connection: any SQLConnection, store: String) {
        self.connection = connection
        self.store = store
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

    func begin(_ text: String) throws(CloudError) {
        try self.guarded { connection throws(SQLError) in try connection.run(text) }
    }

    func commit() throws(CloudError) {
        try self.guarded { connection throws(SQLError) in try connection.commit() }
    }

    func execute(_ statement: SQLStatement, _ values: SQLValue...) throws(CloudError) {
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
            return try body(self.connection)
        } catch {
            self.failure = error
            throw error.cloudError(store: self.store)
        }
    }
}
