/// What a kind of database must be able to do. Everything else is shared.
package protocol SQLDriver: Sendable {
    var dialect: SQLDialect { get }
    /// The file or server, for messages.
    var name: String { get }
    /// Connections that may write. Each has a thread.
    var writers: Int { get }
    /// Connections that only read; 0: the writers do that too.
    var readers: Int { get }

    /// Opens a connection; blocks, until the deadline at the latest.
    func connect(_ access: SQLAccess, deadline: ContinuousClock.Instant) throws(SQLError) -> any SQLConnection
}

extension SQLDriver {
    /// The same with ten seconds to do it in.
    package func connect(_ access: SQLAccess) throws(SQLError) -> any SQLConnection {
        try self.connect(access, deadline: .now + .seconds(10))
    }
}

package enum SQLAccess: Hashable, Sendable {
    case write
    case read
}

/// One connection, used by one thread at a time; every method blocks, until the deadline at the latest.
package protocol SQLConnection: AnyObject {
    var dialect: SQLDialect { get }
    /// False once the connection is good for nothing: it is thrown away then.
    var isUsable: Bool { get }
    /// What follows fails as `late` after this moment.
    func setDeadline(_ deadline: ContinuousClock.Instant)
    /// Begins a transaction. What runs outside of one is committed statement by statement.
    func begin(_ access: SQLAccess) throws(SQLError)
    /// Runs text that is not worth preparing: the schema.
    func run(_ text: String) throws(SQLError)
    func execute(_ statement: SQLStatement, _ values: [SQLValue]) throws(SQLError)
    func query(_ statement: SQLStatement, _ values: [SQLValue]) throws(SQLError) -> [SQLRow]
    func commit() throws(SQLError)
    /// Ends the transaction if there is one; a connection that cannot is no longer usable.
    func rollback()
    func close()
}
