import CMariaDB
import Synchronization

/// A MySQL (8.0 or later) or MariaDB (10.6 or later) server: a pool of connections, each with a thread of its own. Most
/// of them write at READ COMMITTED, so that after waiting for a lock every read sees what the other transaction left;
/// the others read one consistent state.
package struct MySQLDriver: SQLDriver {
    package let dialect = SQLDialect.mysql
    package let configuration: MySQLConfiguration
    private let dialling = DiallingState()

    /// Shared by all connections of the driver.
    private final class DiallingState: Sendable {
        let pace = Mutex(MySQLDialPace())
    }

    package init(_ configuration: MySQLConfiguration) {
        self.configuration = configuration
    }

    package var name: String { "MySQL at \(self.configuration.address)/\(self.configuration.database)" }
    package var readers: Int { max(1, self.configuration.poolSize / 4) }
    package var writers: Int { max(1, self.configuration.poolSize - self.readers) }

    /// Once per process, before the first connection: the library's own set-up is not made for several threads.
    private static let isLibraryReady: Bool = mysql_server_init(0, nil, nil) == 0

    package func connect(
        _ access: SQLAccess, deadline: ContinuousClock.Instant
    ) throws(SQLError) -> any SQLConnection {
        guard Self.isLibraryReady else {
            throw SQLError(.unsupported, "the MariaDB client library cannot be set up")
        }
        let now = ContinuousClock.now
        if let error = self.dialling.pace.withLock({ $0.refusal(at: now) }) { throw error }
        do throws(SQLError) {
            let connection = try MySQLConnection(
                self.configuration, access: access,
                deadline: min(deadline, now + self.configuration.connectTimeout))
            self.dialling.pace.withLock { $0.succeeded() }
            return connection
        } catch {
            self.dialling.pace.withLock { $0.failed(error, at: .now) }
            throw error
        }
    }
}

/// How often a server is dialled that does not answer: one attempt, then a pause that grows, in which every call is
/// told the last error at once. Otherwise each call of a storm would dial, and wait, for itself.
struct MySQLDialPace {
    static let firstPause = Duration.milliseconds(100)
    static let longestPause = Duration.seconds(2)

    private var pause = Duration.zero
    private var next: ContinuousClock.Instant?
    private var last: SQLError?
    /// One attempt is under way after a pause.
    private var isProbing = false

    /// The error to answer with instead of dialling; nil: dial, and tell how it went.
    mutating func refusal(at now: ContinuousClock.Instant) -> SQLError? {
        guard let next = self.next, let last = self.last else { return nil }
        guard now >= next else { return last }
        // The others wait for what this one finds.
        self.next = now + self.pause
        self.isProbing = true
        return nil
    }

    mutating func succeeded() {
        self = MySQLDialPace()
    }

    mutating func failed(_ error: SQLError, at now: ContinuousClock.Instant) {
        // Many dial at once when the server goes away: that is one failure.
        if let next = self.next, now < next, !self.isProbing { return }
        self.isProbing = false
        self.pause = self.pause == .zero ? Self.firstPause : min(self.pause * 2, Self.longestPause)
        self.next = now + self.pause
        self.last = error
    }
}
