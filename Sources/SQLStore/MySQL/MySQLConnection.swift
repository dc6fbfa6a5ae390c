import CMariaDB
import Cloud
import Glibc

/// One connection to a MySQL or MariaDB server.
///
/// Uses the library's non-blocking calls and waits for the socket itself: so every call comes back at its deadline,
/// whatever the server, the network or TLS do meanwhile. A call that comes too late has cut the connection, as nobody
/// knows where in its answer it is.
final class MySQLConnection: SQLConnection {
    let dialect = SQLDialect.mysql

    private let handle: UnsafeMutablePointer<MYSQL>
    private let configuration: MySQLConfiguration
    private let access: SQLAccess
    private var isOpen = true
    /// Cut, or in a state nobody knows.
    private var isBroken = false
    private var isInTransaction = false
    private var commitsEachStatement = true
    private var deadline: ContinuousClock.Instant
    private var isMariaDB = false
    /// The longest statement the server lets this session run.
    private var statementLimit: Duration

    private var prepared: [String: MySQLStatementHandle] = [:]
    /// In the order in which they were prepared.
    private var preparedTexts: [String] = []

    /// Our statements are about fifty; the server keeps as many for each connection.
    static let maximumPrepared = 128
    /// Of the library's coroutine, in bytes: name look-up and TLS run on it.
    private static let stackBytes = 256 << 10
    /// Seconds after which the server ends a silent session: what a pod that vanished holds locked comes free.
    private static let silenceSeconds = 60
    /// How anybody may prove who he is. Not among them: sending the password in clear because the server asks for it.
    private static let logins = "caching_sha2_password,client_ed25519,mysql_native_password,sha256_password"

    init(
        _ configuration: MySQLConfiguration, access: SQLAccess, deadline: ContinuousClock.Instant
    ) throws(SQLError) {
        self.configuration = configuration
        self.access = access
        self.deadline = deadline
        self.statementLimit = configuration.statementTimeout
        guard let handle = mysql_init(nil) else { throw SQLError(.outOfMemory, "no memory for a connection") }
        self.handle = handle
        do throws(SQLError) {
            try self.connect()
            try self.checkVersion()
            try self.configure()
        } catch {
            self.close()
            throw error
        }
    }

    deinit {
        self.close()
    }

    func close() {
        guard self.isOpen else { return }
        self.isOpen = false
        // What follows would wait for a server that hangs.
        if self.isBroken { self.cut() }
        for statement in self.prepared.values { mysql_stmt_close(statement.statement) }
        self.prepared = [:]
        mysql_close(self.handle)
    }

    var isUsable: Bool {
        guard self.isOpen, !self.isBroken else { return false }
        guard !self.isInTransaction else { return true }
        // A server says nothing unasked but that it goes away.
        var state = pollfd(fd: mysql_get_socket(self.handle), events: Int16(POLLIN), revents: 0)
        return poll(&state, 1, 0) == 0
    }

    func setDeadline(_ deadline: ContinuousClock.Instant) {
        self.deadline = deadline
    }
}

// Connecting.
extension MySQLConnection {
    private func connect() throws(SQLError) {
        let configuration = self.configuration
        var hosts = try MySQLHostLookup.addresses(of: configuration.address.host, deadline: self.deadline)
        if case .verified = configuration.transport {
            // The library checks the certificate against what it was told to connect to.
            hosts = [configuration.address.host]
        }
        self.setOptions()
        var failure = SQLError(.unreachable, "no address")
        for host in hosts {
            do throws(SQLError) {
                return try self.connect(to: host)
            } catch {
                failure = error
                guard error.kind == .unreachable else { break }
            }
        }
        throw failure
    }

    private func setOptions() {
        var stack = Self.stackBytes
        mysql_options(self.handle, MYSQL_OPT_NONBLOCK, &stack)
        // "localhost" would be a socket file otherwise.
        var transport = UInt32(MYSQL_PROTOCOL_TCP.rawValue)
        mysql_options(self.handle, MYSQL_OPT_PROTOCOL, &transport)
        mysql_options(self.handle, MYSQL_SET_CHARSET_NAME, "utf8mb4")
        // No server may ask for files of ours.
        var no: UInt32 = 0
        mysql_options(self.handle, MYSQL_OPT_LOCAL_INFILE, &no)
        mysql_options(self.handle, MARIADB_OPT_RESTRICTED_AUTH, Self.logins)
        var enforce: my_bool = self.configuration.transport == .plain ? 0 : 1
        mysql_options(self.handle, MYSQL_OPT_SSL_ENFORCE, &enforce)
        var verify: my_bool = 0
        if case .verified(let authorities) = self.configuration.transport {
            verify = 1
            var status = stat()
            let isDirectory = stat(authorities, &status) == 0 && status.st_mode & S_IFMT == S_IFDIR
            mysql_options(self.handle, isDirectory ? MYSQL_OPT_SSL_CAPATH : MYSQL_OPT_SSL_CA, authorities)
        }
        mysql_options(self.handle, MYSQL_OPT_SSL_VERIFY_SERVER_CERT, &verify)
    }

    private func connect(to host: String) throws(SQLError) {
        let configuration = self.configuration
        var connected: UnsafeMutablePointer<MYSQL>?
        // The library reads these until it is connected.
        host.withCString { host in
            configuration.user.withCString { user in
                configuration.password.reveal().withCString { password in
                    configuration.database.withCString { database in
                        let status = mysql_real_connect_start(
                            &connected, self.handle, host, user, password, database,
                            UInt32(configuration.address.port), nil, 0)
                        self.finish(status) { mysql_real_connect_cont(&connected, self.handle, $0) }
                    }
                }
            }
        }
        guard connected == nil else { return try self.checkTransport() }
        guard !self.isBroken else {
            throw SQLError(.late, "\(configuration.address) did not answer in time")
        }
        self.isBroken = true
        let error = MySQLErrors.error(mysql_errno(self.handle), String(cString: mysql_error(self.handle)))
        // A server that goes away while it greets is as good as not there.
        throw error.kind == .lost ? SQLError(.unreachable, error.message) : error
    }

    /// The library goes on in clear with a server that has no TLS, unless it has to verify it.
    private func checkTransport() throws(SQLError) {
        guard self.configuration.transport != .plain, mysql_get_ssl_cipher(self.handle) == nil else { return }
        self.isBroken = true
        throw SQLError(.untrusted, "the server does not speak TLS, which is configured")
    }

    private func checkVersion() throws(SQLError) {
        let version = String(cString: mysql_get_server_info(self.handle))
        self.isMariaDB = version.contains("MariaDB")
        let number = mysql_get_server_version(self.handle)
        guard number >= (self.isMariaDB ? 100_600 : 80_000) else {
            throw SQLError(.unsupported, "the server is \(version); MySQL 8.0 or MariaDB 10.6 is the least")
        }
    }

    private func configure() throws(SQLError) {
        let seconds = max(1, self.configuration.statementTimeout.clampedMilliseconds / 1000 - 1)
        try self.run(
            """
            SET SESSION sql_mode = 'STRICT_ALL_TABLES,NO_ENGINE_SUBSTITUTION', autocommit = 1, \
            wait_timeout = \(Self.silenceSeconds), innodb_lock_wait_timeout = \(seconds), \
            \(self.limit(self.statementLimit))
            """)
        let isolation =
            switch self.access {
            case .write: "READ COMMITTED"
            case .read: "REPEATABLE READ"
            }
        try self.run("SET SESSION TRANSACTION ISOLATION LEVEL \(isolation)")
    }

    /// MariaDB counts in seconds and means every statement, MySQL counts in milliseconds and means reads.
    private func limit(_ duration: Duration) -> String {
        let milliseconds = max(1, duration.clampedMilliseconds)
        return self.isMariaDB
            ? "max_statement_time = \(milliseconds / 1000).\(String(1000 + milliseconds % 1000).dropFirst())"
            : "max_execution_time = \(milliseconds)"
    }

    /// A change of the schema has more time than a call.
    private func raiseLimit() throws(SQLError) {
        let left = self.deadline - .now
        guard left > self.statementLimit + .seconds(1) else { return }
        self.statementLimit = left
        try self.send("SET SESSION \(self.limit(left))")
    }
}

// Waiting.
extension MySQLConnection {
    /// Sees a call of the library through, or cuts the connection at the deadline.
    private func finish(_ status: Int32, _ resume: (Int32) -> Int32) {
        var status = status
        while status != 0 { status = resume(self.wait(for: status)) }
    }

    private func wait(for status: Int32) -> Int32 {
        var events: Int16 = 0
        if status & MYSQL_WAIT_READ != 0 { events |= Int16(POLLIN) }
        if status & MYSQL_WAIT_WRITE != 0 { events |= Int16(POLLOUT) }
        if status & MYSQL_WAIT_EXCEPT != 0 { events |= Int16(POLLPRI) }
        var socket = pollfd(fd: mysql_get_socket(self.handle), events: events, revents: 0)
        while true {
            let left = self.deadline - .now
            guard left > .zero else {
                self.isBroken = true
                self.cut()
                return MYSQL_WAIT_TIMEOUT
            }
            // Rounded up, so that it does not spin in the last millisecond.
            let milliseconds = Int32(clamping: left.clampedMilliseconds + 1)
            guard poll(&socket, 1, milliseconds) > 0 else { continue }
            var happened: Int32 = 0
            let failed = socket.revents & Int16(POLLERR | POLLHUP | POLLNVAL) != 0
            if failed || socket.revents & Int16(POLLIN) != 0 { happened |= MYSQL_WAIT_READ }
            if failed || socket.revents & Int16(POLLOUT) != 0 { happened |= MYSQL_WAIT_WRITE }
            if socket.revents & Int16(POLLPRI) != 0 { happened |= MYSQL_WAIT_EXCEPT }
            return happened & status
        }
    }

    private func cut() {
        shutdown(mysql_get_socket(self.handle), Int32(SHUT_RDWR))
    }

    private func checkTime() throws(SQLError) {
        guard !self.isBroken else { throw SQLError(.lost, "the connection is cut") }
        guard ContinuousClock.now < self.deadline else { throw SQLError(.late, "the time for the call is over") }
    }

    private func error(_ number: UInt32, _ message: String, inCommit: Bool = false) -> SQLError {
        guard !self.isBroken else {
            return SQLError(inCommit ? .commitUnknown : .late, "the server did not answer in time")
        }
        if MySQLErrors.isFatal(number) { self.isBroken = true }
        return MySQLErrors.error(number, message, inCommit: inCommit)
    }
}

// Statements.
extension MySQLConnection {
    func begin(_ access: SQLAccess) throws(SQLError) {
        try self.checkTime()
        switch access {
        case .write:
            // From here on the first statement after a COMMIT begins the next one: a round trip less for each.
            if self.commitsEachStatement { try self.send("SET SESSION autocommit = 0") }
            self.commitsEachStatement = false
            self.isInTransaction = true
        case .read:
            // Whether it began is open when the answer is lost.
            self.isInTransaction = true
            try self.send("START TRANSACTION READ ONLY")
        }
    }

    func run(_ text: String) throws(SQLError) {
        try self.checkTime()
        try self.raiseLimit()
        try self.send(text)
    }

    private func send(_ text: String, inCommit: Bool = false) throws(SQLError) {
        var text = text
        var result: Int32 = 0
        text.withUTF8 { bytes in
            bytes.withMemoryRebound(to: CChar.self) { characters in
                let status = mysql_real_query_start(
                    &result, self.handle, characters.baseAddress, UInt(characters.count))
                self.finish(status) { mysql_real_query_cont(&result, self.handle, $0) }
            }
        }
        if result == 0, mysql_field_count(self.handle) > 0 {
            var rows: UnsafeMutablePointer<MYSQL_RES>?
            let status = mysql_store_result_start(&rows, self.handle)
            self.finish(status) { mysql_store_result_cont(&rows, self.handle, $0) }
            if let rows { mysql_free_result(rows) } else { result = 1 }
        }
        guard result == 0 else {
            throw self.error(mysql_errno(self.handle), String(cString: mysql_error(self.handle)), inCommit: inCommit)
        }
    }

    func execute(_ statement: SQLStatement, _ values: [SQLValue]) throws(SQLError) {
        _ = try self.query(statement, values)
    }

    func query(_ statement: SQLStatement, _ values: [SQLValue]) throws(SQLError) -> [SQLRow] {
        try self.checkTime()
        try self.raiseLimit()
        // A transaction that only reads sees one state and need not, nor may, lock a row.
        let prepared = try self.prepare(
            self.access == .read ? statement.text : self.dialect.text(of: statement))
        return try prepared.withBound(values) { () throws(SQLError) in
            var result: Int32 = 0
            var status = mysql_stmt_execute_start(&result, prepared.statement)
            self.finish(status) { mysql_stmt_execute_cont(&result, prepared.statement, $0) }
            guard result == 0 else { throw self.error(of: prepared) }
            guard prepared.hasResult else { return [] }
            guard prepared.bindResult() else { throw self.error(of: prepared) }
            status = mysql_stmt_store_result_start(&result, prepared.statement)
            self.finish(status) { mysql_stmt_store_result_cont(&result, prepared.statement, $0) }
            guard result == 0 else { throw self.error(of: prepared) }
            defer { mysql_stmt_free_result(prepared.statement) }
            return try self.rows(of: prepared)
        }
    }

    /// All of them are here already.
    private func rows(of prepared: MySQLStatementHandle) throws(SQLError) -> [SQLRow] {
        var rows: [SQLRow] = []
        while true {
            switch mysql_stmt_fetch(prepared.statement) {
            case 0, MYSQL_DATA_TRUNCATED: rows.append(try prepared.row())
            case MYSQL_NO_DATA: return rows
            default: throw self.error(of: prepared)
            }
        }
    }

    private func error(of prepared: MySQLStatementHandle) -> SQLError {
        self.error(mysql_stmt_errno(prepared.statement), String(cString: mysql_stmt_error(prepared.statement)))
    }

    private func prepare(_ text: String) throws(SQLError) -> MySQLStatementHandle {
        if let prepared = self.prepared[text] { return prepared }
        if self.preparedTexts.count >= Self.maximumPrepared,
            let oldest = self.prepared.removeValue(forKey: self.preparedTexts.removeFirst())
        {
            // Its result is read: nothing is waited for.
            mysql_stmt_close(oldest.statement)
        }
        guard let statement = mysql_stmt_init(self.handle) else {
            throw SQLError(.outOfMemory, "no memory for a statement")
        }
        var characters = text
        var result: Int32 = 0
        characters.withUTF8 { bytes in
            bytes.withMemoryRebound(to: CChar.self) { characters in
                let status = mysql_stmt_prepare_start(
                    &result, statement, characters.baseAddress, UInt(characters.count))
                self.finish(status) { mysql_stmt_prepare_cont(&result, statement, $0) }
            }
        }
        guard result == 0 else {
            let error = self.error(mysql_stmt_errno(statement), String(cString: mysql_stmt_error(statement)))
            mysql_stmt_close(statement)
            throw error
        }
        let prepared = MySQLStatementHandle(prepared: statement)
        self.prepared[text] = prepared
        self.preparedTexts.append(text)
        return prepared
    }

    func commit() throws(SQLError) {
        try self.checkTime()
        try self.send("COMMIT", inCommit: true)
        self.isInTransaction = false
    }

    func rollback() {
        guard self.isOpen, !self.isBroken, self.isInTransaction else { return }
        self.isInTransaction = false
        // Too late for a round trip: the server rolls back what a lost connection leaves.
        guard (try? self.checkTime()) != nil, (try? self.send("ROLLBACK")) != nil else {
            self.isBroken = true
            return
        }
    }
}
