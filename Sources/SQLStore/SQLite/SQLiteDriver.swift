import Glibc

/// A SQLite file: one connection that writes and a few that read, in write-ahead mode, so that neither waits for the
/// other.
package struct SQLiteDriver: SQLDriver {
    package let dialect = SQLDialect.sqlite
    package let path: String
    /// SQLite has one writer at a time anyway: a second connection would only wait for the first.
    package let writers = 1
    package let readers: Int

    package var name: String { self.path }

    /// - Parameters:
    ///   - path: the file; it and its directory are made when missing, for this user only.
    ///   - readers: connections that read.
    package init(path: String, readers: Int = 2) {
        self.path = path
        self.readers = max(1, readers)
    }

    package func connect(
        _ access: SQLAccess, deadline: ContinuousClock.Instant
    ) throws(SQLError) -> any SQLConnection {
        if access == .write { try Self.create(self.path) }
        return try SQLiteConnection(path: self.path, access: access)
    }

    /// Makes the file with mode 0600 in a directory with mode 0700, if they are missing. SQLite gives its other files
    /// the mode of this one.
    private static func create(_ path: String) throws(SQLError) {
        if let slash = path.lastIndex(of: "/"), slash != path.startIndex {
            try self.createDirectory(String(path[..<slash]))
        }
        let descriptor = open(path, O_CREAT | O_EXCL | O_RDWR | O_CLOEXEC, 0o600)
        if descriptor >= 0 {
            close(descriptor)
        } else if errno != EEXIST {
            throw self.cannotOpen("the file cannot be created", errno)
        }
    }

    private static func createDirectory(_ path: String) throws(SQLError) {
        guard mkdir(path, 0o700) != 0 else { return }
        switch errno {
        case EEXIST:
            return
        case ENOENT:
            guard let slash = path.lastIndex(of: "/"), slash != path.startIndex else {
                throw self.cannotOpen("the directory \(path) cannot be created", ENOENT)
            }
            try self.createDirectory(String(path[..<slash]))
            guard mkdir(path, 0o700) == 0 || errno == EEXIST else {
                throw self.cannotOpen("the directory \(path) cannot be created", errno)
            }
        case let number:
            throw self.cannotOpen("the directory \(path) cannot be created", number)
        }
    }

    private static func cannotOpen(_ what: String, _ number: Int32) -> SQLError {
        let kind: SQLError.Kind =
            switch number {
            case ENOSPC, EDQUOT: .diskFull
            case EROFS: .readOnly
            default: .cannotOpen
            }
        return SQLError(kind, "\(what) (\(String(cString: strerror(number))))")
    }
}
