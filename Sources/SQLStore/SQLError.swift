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
        /// The schema is newer than this program.
        case newerSchema
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
        case .locked: "another process holds it: stop that one, or wait"
        case .deadlock, .late, .overloaded: "try again in a moment"
        case .duplicate, .missing, .statement: "report this as a defect"
        case .diskFull: "make room on the disk"
        case .readOnly: "make the file and its directory writable for this user"
        case .inputOutput: "check the disk and the system's log"
        case .cannotOpen: "check that the directory exists and that this user may write there"
        case .notADatabase: "point the configuration at another file, or move this one away"
        case .damaged: "restore a backup"
        case .newerSchema: "start the newer program, or restore a backup from before it ran"
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
            .damaged, .newerSchema, .closed, .overloaded, .outOfMemory, .statement:
            CloudError(.unavailable, "\(store): \(self.message); \(self.advice)", retryAfter: .seconds(5))
        }
    }
}
