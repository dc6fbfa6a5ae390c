/// A statement both databases understand; parameters are `?`. Prepared once per connection.
package struct SQLStatement: Hashable, Sendable {
    /// Against whom the rows that it reads are held until the end of the transaction.
    package enum Lock: Hashable, Sendable {
        /// Against those who would change them; others may hold them too.
        case shared
        /// Against everybody who wants to hold them.
        case exclusive
    }

    package let text: String
    package let lock: Lock?

    package init(_ text: String, lock: Lock? = nil) {
        self.text = text
        self.lock = lock
    }

    /// The same, holding the rows it reads.
    func locking(_ lock: Lock = .exclusive) -> SQLStatement { SQLStatement(self.text, lock: lock) }
}

/// Where the databases differ: the only place that may ask which one it is.
package enum SQLDialect: String, Hashable, Sendable, CaseIterable {
    case sqlite
    /// MySQL 8 and MariaDB from 10.6 on.
    case mysql

    package func text(of statement: SQLStatement) -> String {
        switch (self, statement.lock) {
        // A writing transaction of SQLite has the whole database to itself.
        case (.sqlite, _), (.mysql, nil): statement.text
        // MariaDB has no FOR SHARE.
        case (.mysql, .shared): statement.text + " LOCK IN SHARE MODE"
        case (.mysql, .exclusive): statement.text + " FOR UPDATE"
        }
    }

    /// What time the database says it is, in milliseconds since 1970.
    package var now: SQLStatement {
        switch self {
        case .sqlite: SQLStatement("SELECT CAST((julianday('now') - 2440587.5) * 86400000 AS INTEGER)")
        case .mysql: SQLStatement("SELECT CAST(UNIX_TIMESTAMP(NOW(6)) * 1000 AS SIGNED)")
        }
    }

    /// How often a transaction is run that another one got in the way of.
    package var attempts: Int {
        switch self {
        case .sqlite: 1
        case .mysql: 5
        }
    }

    /// Puts this database's types into the text of a migration: `{text n}` is at most n bytes and compared exactly,
    /// `{blob n}`, `{integer}`, and `{table}` after the closing parenthesis.
    package func schema(_ text: String) -> String {
        var result = ""
        var rest = Substring(text)
        while let open = rest.firstIndex(of: "{"), let close = rest[open...].firstIndex(of: "}") {
            result += rest[..<open]
            let words = rest[rest.index(after: open)..<close].split(separator: " ")
            result += self.type(String(words.first ?? ""), length: words.dropFirst().first.map(String.init) ?? "")
            rest = rest[rest.index(after: close)...]
        }
        return result + rest
    }

    private func type(_ word: String, length: String) -> String {
        switch (self, word) {
        case (.sqlite, "text"): "TEXT"
        case (.sqlite, "blob"): "BLOB"
        case (.sqlite, "integer"): "INTEGER"
        case (.sqlite, "table"): "STRICT"
        // Its collations compare more than bytes, and pad.
        case (.mysql, "text"), (.mysql, "blob"): "VARBINARY(\(length))"
        case (.mysql, "integer"): "BIGINT"
        case (.mysql, "table"): "ENGINE=InnoDB"
        case (_, let word): word
        }
    }
}
