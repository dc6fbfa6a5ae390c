import Cloud

/// A statement, transaction or connection that failed.
package struct SQLError: Error, Hashable, Sendable {
    package enum Kind: String, Hashable, Sendable, CaseIterable {
        /// Somebody else holds the lock.
        case locked
        /// The database chose this transaction to lose against another; it may be run again.
        case deadlock
        /// The deadline passed.
        case late
        /// A row with this key is there already.
        case duplicate
        /// A row that is referred to is not there.
        case missing
        case diskFull
        case readOnly
        /// Reading or writing failed in the operating system.
        case inputOutput
        case cannotOpen
        case notADatabase
        case damaged
        /// The schema is newer than this program, and not made for it any more.
        case newerSchema
        /// The schema is older than this program needs, or not there.
        case schemaMissing
        /// A table, index or column of this name is there already.
        case exists
        /// Nobody answers at the server's address.
        case unreachable
        /// The connection broke in the middle, or the server is going away.
        case lost
        /// The connection broke after COMMIT was sent: what was written may be there or not.
        case commitUnknown
        /// The server does not let this user in, or not do this.
        case refused
        case unknownDatabase
        /// TLS could not be agreed on, or the server's certificate is not to be trusted.
        case untrusted
        /// A server or its way of login that this program cannot do.
        case unsupported
        case tooManyConnections
        /// More bytes at once than the server takes.
        case tooLarge
        case closed
        /// Too many calls are waiting.
        case overloaded
        case outOfMemory
        /// A mistake of ours in a statement.
        case statement
    }

    package var kind: Kind
    /// The database's own words, or ours.
    package var message: String

    package init(_ kind: Kind, _ message: String) {
        self.kind = kind
        self.message = message
    }

    /// What somebody can do about it.
    var advice: String {
        switch self.kind {
        case .locked: "another process or transaction holds it: stop that one, or wait"
        case .deadlock, .late, .overloaded, .lost: "try again in a moment"
        case .commitUnknown: "it may have been done: repeat the request, which finds out"
        case .duplicate, .missing, .statement, .exists: "report this as a defect"
        case .diskFull: "make room on the database's disk"
        case .readOnly:
            "make a file and its directory writable for this user; of servers, name the one that takes writes (DB_URI)"
        case .inputOutput: "check the database's disk and its system's log"
        case .unreachable: "check that the server runs, and that DB_URI names its host and port"
        case .refused: "check DB_USERNAME and DB_PASSWORD, and what this user is granted on the server"
        case .unknownDatabase: "create it on the server, or correct DB_NAME"
        case .untrusted: "check the server's certificate, its host name in DB_URI, and the authorities configured"
        case .unsupported: "use a server this program knows, or install what the message names"
        case .tooManyConnections: "raise max_connections on the server, or make the pools smaller"
        case .tooLarge: "raise max_allowed_packet on the server"
        case .cannotOpen: "check that the directory exists and that this user may write there"
        case .notADatabase: "point the configuration at another file, or move this one away"
        case .damaged: "restore a backup"
        case .newerSchema: "start the newer program, or restore a backup from before it ran"
        case .schemaMissing: "bring the schema up to date: registry migrate"
        case .closed: "the program is stopping"
        case .outOfMemory: "give the process more memory"
        }
    }

    /// The same for the domain: everything that may pass is `unavailable`, so that no device takes it as final.
    ///
    /// - Parameter store: the file or server, for the message.
    func cloudError(store: String) -> CloudError {
        switch self.kind {
        case .duplicate:
            CloudError(.conflict, "\(store): the row is there already (\(self.message))")
        case .locked, .deadlock, .late, .missing, .diskFull, .readOnly, .inputOutput, .cannotOpen, .notADatabase,
            .damaged, .newerSchema, .schemaMissing, .exists, .unreachable, .lost, .commitUnknown, .refused,
            .unknownDatabase, .untrusted, .unsupported, .tooManyConnections, .tooLarge, .closed, .overloaded,
            .outOfMemory, .statement:
            CloudError(.unavailable, "\(store): \(self.message); \(self.advice)", retryAfter: .seconds(5))
        }
    }
}
