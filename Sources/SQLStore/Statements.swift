/// Every statement, by noun. One text for both databases, so nothing here is special to one of them: no upsert, no
/// `RETURNING`, no `LIMIT` on a deletion.
enum Statements {
    enum Users {
        static let find = SQLStatement("SELECT uid, auth_provider, created_at FROM users WHERE uid = ?")
        static let insert = SQLStatement("INSERT INTO users (uid, auth_provider, created_at) VALUES (?, ?, ?)")
        /// Devices, families, links and credentials go with him: they refer to him.
        static let delete = SQLStatement("DELETE FROM users WHERE uid = ?")
    }

    enum Devices {
        private static let columns = "di, uid, kind, name, last_ins, created_at"

        static let find = SQLStatement("SELECT \(columns) FROM devices WHERE di = ?")
        static let insert = SQLStatement(
            "INSERT INTO devices (di, uid, kind, name, last_ins, created_at) VALUES (?, ?, ?, ?, ?, ?)")
        static let update = SQLStatement("UPDATE devices SET name = ?, last_ins = ? WHERE di = ?")
        static let delete = SQLStatement("DELETE FROM devices WHERE di = ?")
        static let page = SQLStatement(
            "SELECT \(columns) FROM devices WHERE uid = ? AND di > ? ORDER BY di LIMIT ?")
        static let pageOfKind = SQLStatement(
            "SELECT \(columns) FROM devices WHERE uid = ? AND kind = ? AND di > ? ORDER BY di LIMIT ?")
    }

    enum Credentials {
        private static let columns = """
            c.hash, c.kind, c.subject, c.di, c.device_kind, c.not_before, c.not_after, c.family, c.generation, \
            c.last_used
            """

        static let find = SQLStatement("SELECT \(columns) FROM credentials c WHERE c.hash = ?")
        static let grant = SQLStatement(
            """
            SELECT (SELECT value FROM counters WHERE name = 'changes'), \(columns), \(Families.columns) \
            FROM credentials c LEFT JOIN families f ON f.id = c.family WHERE c.hash = ?
            """)
        static let grantOfFamily = SQLStatement(
            """
            SELECT (SELECT value FROM counters WHERE name = 'changes'), \(columns), \(Families.columns) \
            FROM families f JOIN credentials c ON c.family = f.id WHERE f.id = ? AND c.hash = ?
            """)
        private static let insertion = """
            INSERT INTO credentials (hash, kind, algorithm, subject, di, device_kind, not_before, not_after, family, \
            generation, last_used) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
            """
        static let insert = SQLStatement(insertion)
        static let insertTwo = SQLStatement(insertion + ", (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)")
        static let bindCode = SQLStatement("UPDATE credentials SET di = ?, family = ? WHERE hash = ?")
        static let touch = SQLStatement("UPDATE credentials SET last_used = ? WHERE hash = ?")
        static let count = SQLStatement(
            """
            SELECT COUNT(*) FROM (SELECT 1 FROM credentials WHERE subject = ? AND kind = ? LIMIT ?) AS counted
            """)
        static let ofSubject = SQLStatement(
            "SELECT \(columns) FROM credentials c WHERE c.subject = ? AND c.kind = ? ORDER BY c.hash LIMIT ?")
        static let deleteUnusedCodes = SQLStatement(
            "DELETE FROM credentials WHERE subject = ? AND kind = 'code' AND family IS NULL")
        static let prunable = SQLStatement(
            """
            SELECT hash FROM credentials WHERE family = ? \
            AND ((kind = 'access' AND generation < ?) OR (kind = 'refresh' AND generation < ?))
            """)
        static let ofGeneration = SQLStatement("SELECT hash FROM credentials WHERE family = ? AND generation = ?")
        static let delete = SQLStatement("DELETE FROM credentials WHERE hash = ?")
        /// So many at once: what a family leaves between two prunings.
        static let deletedTogether = 8
        static let deleteTogether = SQLStatement("DELETE FROM credentials WHERE hash IN (?, ?, ?, ?, ?, ?, ?, ?)")
        static let deleteOfDevice = SQLStatement("DELETE FROM credentials WHERE di = ?")
        static let sweepable = SQLStatement(
            """
            SELECT c.hash FROM credentials c LEFT JOIN families f ON f.id = c.family \
            WHERE c.kind = 'code' AND (c.not_after <= ? \
            OR (c.family IS NOT NULL AND (f.id IS NULL OR f.state <> 'pending' OR f.generation <> 1))) LIMIT ?
            """)
    }

    enum Families {
        static let columns = """
            f.id, f.uid, f.di, f.kind, f.state, f.generation, f.confirmed_at, f.sealed_reply, f.sealed_until
            """

        static let find = SQLStatement("SELECT \(columns) FROM families f WHERE f.id = ?")
        static let ofDevice = SQLStatement("SELECT id FROM families WHERE di = ? ORDER BY id")
        static let insert = SQLStatement(
            """
            INSERT INTO families (id, uid, di, kind, state, generation, confirmed_at, sealed_reply, sealed_until) \
            VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)
            """)
        static let update = SQLStatement(
            """
            UPDATE families SET state = ?, generation = ?, confirmed_at = ?, sealed_reply = ?, sealed_until = ? \
            WHERE id = ?
            """)
        /// Its credentials go with it.
        static let delete = SQLStatement("DELETE FROM families WHERE id = ?")
        static let sweepable = SQLStatement("SELECT id FROM families WHERE sealed_until < ? LIMIT ?")
        static let eraseReply = SQLStatement(
            "UPDATE families SET sealed_reply = NULL, sealed_until = NULL WHERE id = ?")
    }

    enum Links {
        private static let columns = """
            l.ins, l.href, l.resource_types, l.interfaces, l.policy, l.expires_at, l.attributes
            """
        private static let ofUser = """
            SELECT l.di, \(columns) FROM devices d JOIN links l ON l.di = d.di \
            WHERE d.uid = ? AND (l.expires_at IS NULL OR l.expires_at > ?)
            """

        static let ofDevice = SQLStatement("SELECT \(columns) FROM links l WHERE l.di = ? ORDER BY l.ins")
        static let ofAllDevices = SQLStatement(
            "\(ofUser) AND d.di >= ? AND (d.di > ? OR l.ins > ?) ORDER BY d.di, l.ins LIMIT ?")
        static let ofOneDevice = SQLStatement("\(ofUser) AND d.di = ? AND l.ins > ? ORDER BY l.ins LIMIT ?")
        static let insert = SQLStatement(
            """
            INSERT INTO links (di, ins, href, resource_types, interfaces, policy, expires_at, attributes) \
            VALUES (?, ?, ?, ?, ?, ?, ?, ?)
            """)
        static let update = SQLStatement(
            """
            UPDATE links SET href = ?, resource_types = ?, interfaces = ?, policy = ?, expires_at = ?, attributes = ? \
            WHERE di = ? AND ins = ?
            """)
        static let delete = SQLStatement("DELETE FROM links WHERE di = ? AND ins = ?")
        static let sweepable = SQLStatement("SELECT di, ins FROM links WHERE expires_at <= ? LIMIT ?")
    }

    enum Changes {
        /// Its lock makes the sequence grow in the order of commits.
        static let advance = SQLStatement("UPDATE counters SET value = value + 1 WHERE name = 'changes'")
        static let last = SQLStatement("SELECT value FROM counters WHERE name = 'changes'")
        static let insert = SQLStatement("INSERT INTO changes (seq, kind, subject, happened_at) VALUES (?, ?, ?, ?)")
        static let after = SQLStatement(
            "SELECT seq, kind, subject, happened_at FROM changes WHERE seq > ? ORDER BY seq LIMIT ?")
        static let sweepable = SQLStatement("SELECT seq FROM changes WHERE happened_at < ? LIMIT ?")
        static let delete = SQLStatement("DELETE FROM changes WHERE seq = ?")
    }

    enum Schema {
        static let version = SQLStatement("SELECT version FROM schema_version")
        static let setVersion = SQLStatement("UPDATE schema_version SET version = ?")
        static let oldestProgram = SQLStatement("SELECT oldest_program FROM schema_compatibility WHERE version = ?")
        static let insertOldestProgram = SQLStatement(
            "INSERT INTO schema_compatibility (version, oldest_program) VALUES (?, ?)")
        /// MySQL only: names of locks are the whole server's and have at most 64 characters.
        static let lock = SQLStatement("SELECT GET_LOCK(CONCAT('coap-gateway ', MD5(DATABASE())), ?)")
        static let unlock = SQLStatement("SELECT RELEASE_LOCK(CONCAT('coap-gateway ', MD5(DATABASE())))")
    }
}
