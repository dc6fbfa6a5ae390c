/// One step of the schema. Never changed once released: what comes later is another step. Two versions of the program
/// run side by side during a rollout, so a step first adds (expand), and a later release removes (contract).
struct SQLMigration: Sendable {
    /// From 1 on, without gaps.
    let version: Int
    /// The oldest program, by the newest migration it knows, that works with the schema after this step: lower than
    /// `version` as long as a step only adds what older programs need not know.
    let oldestProgram: Int
    /// In `SQLDialect.schema`'s words. Each may be run a second time after a crash (MySQL commits one by one): what is
    /// there already is passed over, so a step that changes rows must come to the same when it is repeated.
    let statements: [String]

    init(version: Int, oldestProgram: Int? = nil, statements: [String]) {
        self.version = version
        self.oldestProgram = oldestProgram ?? version
        self.statements = statements
    }

    static let all = [
        SQLMigration(
            version: 1,
            statements: [
                """
                CREATE TABLE users (
                    uid {text 128} NOT NULL PRIMARY KEY,
                    auth_provider {text 128} NOT NULL,
                    created_at {integer} NOT NULL
                ) {table}
                """,
                """
                CREATE TABLE devices (
                    di {text 128} NOT NULL PRIMARY KEY,
                    uid {text 128} NOT NULL,
                    kind {text 16} NOT NULL,
                    name {text 256},
                    last_ins {integer} NOT NULL,
                    created_at {integer} NOT NULL,
                    FOREIGN KEY (uid) REFERENCES users (uid) ON DELETE CASCADE
                ) {table}
                """,
                "CREATE INDEX devices_of_user ON devices (uid, di)",
                "CREATE INDEX devices_of_user_and_kind ON devices (uid, kind, di)",
                """
                CREATE TABLE families (
                    id {text 32} NOT NULL PRIMARY KEY,
                    uid {text 128} NOT NULL,
                    di {text 128} NOT NULL,
                    kind {text 16} NOT NULL,
                    state {text 16} NOT NULL,
                    generation {integer} NOT NULL,
                    confirmed_at {integer},
                    sealed_reply {blob 2048},
                    sealed_until {integer},
                    FOREIGN KEY (uid) REFERENCES users (uid) ON DELETE CASCADE,
                    FOREIGN KEY (di) REFERENCES devices (di) ON DELETE CASCADE
                ) {table}
                """,
                "CREATE INDEX families_of_user ON families (uid)",
                "CREATE INDEX families_of_device ON families (di)",
                "CREATE INDEX families_by_seal ON families (sealed_until)",
                """
                CREATE TABLE credentials (
                    hash {blob 32} NOT NULL PRIMARY KEY,
                    kind {text 16} NOT NULL,
                    algorithm {text 16} NOT NULL,
                    subject {text 128} NOT NULL,
                    di {text 128},
                    device_kind {text 16},
                    not_before {integer} NOT NULL,
                    not_after {integer},
                    family {text 32},
                    generation {integer} NOT NULL,
                    last_used {integer},
                    FOREIGN KEY (subject) REFERENCES users (uid) ON DELETE CASCADE,
                    FOREIGN KEY (family) REFERENCES families (id) ON DELETE CASCADE
                ) {table}
                """,
                "CREATE INDEX credentials_of_subject ON credentials (subject, kind)",
                "CREATE INDEX credentials_of_device ON credentials (di)",
                "CREATE INDEX credentials_of_family ON credentials (family, kind, generation)",
                "CREATE INDEX credentials_by_end ON credentials (kind, not_after)",
                """
                CREATE TABLE links (
                    di {text 128} NOT NULL,
                    ins {integer} NOT NULL,
                    href {text 256} NOT NULL,
                    resource_types {blob 8192} NOT NULL,
                    interfaces {blob 8192} NOT NULL,
                    policy {integer} NOT NULL,
                    expires_at {integer},
                    attributes {blob 4096} NOT NULL,
                    PRIMARY KEY (di, ins),
                    FOREIGN KEY (di) REFERENCES devices (di) ON DELETE CASCADE
                ) {table}
                """,
                "CREATE UNIQUE INDEX links_by_href ON links (di, href)",
                "CREATE INDEX links_by_end ON links (expires_at)",
                """
                CREATE TABLE counters (
                    name {text 32} NOT NULL PRIMARY KEY,
                    value {integer} NOT NULL
                ) {table}
                """,
                "INSERT INTO counters (name, value) VALUES ('changes', 0)",
                """
                CREATE TABLE changes (
                    seq {integer} NOT NULL PRIMARY KEY,
                    kind {text 16} NOT NULL,
                    subject {text 128} NOT NULL,
                    happened_at {integer} NOT NULL
                ) {table}
                """,
                "CREATE INDEX changes_by_time ON changes (happened_at)",
            ]
        )
    ]
}
