/// A statement both databases understand; parameters are `?`. Prepared once per connection.
package struct SQLStatement: Hashable, Sendable {
    package let text: String
    /// Rows it reads are held against other transactions until the end of this one.
    package let locksRows: Bool

    package init(_ text: String, locksRows: Bool = false) {
        self.text = text
        self.locksRows = locksRows
    }

    /// The same, holding the rows it reads.
    var locking: SQLStatement { SQLStatement(self.text, locksRows: true) }
}

/// Where the databases differ: the only place that may ask which one it is.
package enum SQLDialect: String, Hashable, Sendable, CaseIterable {
    case sqlite
    /// MySQL 8 and MariaDB from 10.6 on.
    case mysql

    package func text(of statement: SQLStatement) -> String {
        switch self {
        // A writing transaction of SQLite has the whole database to itself.
        case .sqlite: statement.text
        case .mysql: statement.locksRows ? statement.text + " FOR UPDATE" : statement.text
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
