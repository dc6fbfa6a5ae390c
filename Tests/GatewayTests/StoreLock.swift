import CSQLite
import TestSupport

/// Another program that keeps the gateway from writing, as a backup or an operator with the `sqlite3` shell does.
final class StoreLock {
    private let handle: OpaquePointer

    /// Takes the write lock of the gateway's database.
    init(_ gateway: RunningGateway) throws {
        var handle: OpaquePointer?
        guard sqlite3_open(gateway.dataDirectory + "/gateway.sqlite", &handle) == SQLITE_OK, let handle else {
            throw PeerError("the database cannot be opened")
        }
        self.handle = handle
        sqlite3_busy_timeout(handle, 5000)
        try self.run("BEGIN EXCLUSIVE")
    }

    func release() throws {
        try self.run("ROLLBACK")
    }

    private func run(_ statement: String) throws {
        guard sqlite3_exec(self.handle, statement, nil, nil, nil) == SQLITE_OK else {
            throw PeerError("\(statement): \(String(cString: sqlite3_errmsg(self.handle)))")
        }
    }

    deinit {
        sqlite3_close(self.handle)
    }
}
