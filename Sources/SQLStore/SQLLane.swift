import Cloud
import NIOPosix
import Synchronization

/// Connections of one kind, each with a thread, and a bounded queue in front of them. Nothing here blocks an event loop
/// or one of Swift's own threads.
final class SQLLane: Sendable {
    /// Holds a connection for the thread that uses it. Never contended: a connection has one user at a time.
    private final class Slot: Sendable {
        let connection = Mutex<(any SQLConnection)?>(nil)
    }

    private let driver: any SQLDriver
    private let access: SQLAccess
    private let threads: NIOThreadPool
    private let slots: [Slot]
    private let idle: Mutex<[Int]>
    private let pending = Atomic<Int>(0)
    private let queueLimit: Int

    /// - Parameter queueLimit: calls that may wait or run; more are refused at once.
    init(driver: any SQLDriver, access: SQLAccess, connections: Int, queueLimit: Int) {
        self.driver = driver
        self.access = access
        self.threads = NIOThreadPool(numberOfThreads: connections)
        self.slots = (0..<connections).map { _ in Slot() }
        self.idle = Mutex(Array(0..<connections))
        self.queueLimit = queueLimit
        self.threads.start()
    }

    /// Runs `body` on a connection of its own before `deadline`; the time spent waiting counts.
    func run<R: Sendable>(
        deadline: ContinuousClock.Instant,
        _ body: @escaping @Sendable (any SQLConnection) throws(CloudError) -> R,
    ) async throws(CloudError) -> R {
        guard self.pending.add(1, ordering: .relaxed).newValue <= self.queueLimit else {
            self.pending.subtract(1, ordering: .relaxed)
            throw self.error(.overloaded, "\(self.queueLimit) calls are waiting already")
        }
        let result: Result<R, CloudError> = await withCheckedContinuation { continuation in
            self.threads.submit { state in
                let result: Result<R, CloudError>
                switch state {
                case .active:
                    result = Result { () throws(CloudError) in try self.perform(deadline: deadline, body) }
                case .cancelled:
                    result = .failure(self.error(.closed, "the store is closed"))
                }
                self.pending.subtract(1, ordering: .relaxed)
                continuation.resume(returning: result)
            }
        }
        return try result.get()
    }

    private func perform<R: Sendable>(
        deadline: ContinuousClock.Instant, _ body: @Sendable (any SQLConnection) throws(CloudError) -> R
    ) throws(CloudError) -> R {
        guard ContinuousClock.now < deadline else {
            throw self.error(.late, "waited in the queue until it was too late")
        }
        // As many connections as threads: a running job always finds one.
        guard let index = self.idle.withLock({ $0.popLast() }) else {
            throw self.error(.statement, "more jobs run than there are connections")
        }
        defer { self.idle.withLock { $0.append(index) } }
        return try self.slots[index].connection.withLock { slot throws(CloudError) in
            let connection: any SQLConnection
            // What was lost while nobody used it costs no call.
            if let open = slot, open.isUsable {
                connection = open
            } else {
                slot?.close()
                slot = nil
                do throws(SQLError) {
                    connection = try self.driver.connect(self.access, deadline: deadline)
                } catch {
                    throw error.cloudError(store: self.driver.name)
                }
                slot = connection
            }
            connection.setDeadline(deadline)
            defer {
                if !connection.isUsable {
                    connection.close()
                    slot = nil
                }
            }
            return try body(connection)
        }
    }

    /// Ends the threads, then the connections. Calls that wait fail as `unavailable`.
    func close() async {
        // The only error there is says that somebody else has closed it.
        try? await self.threads.shutdownGracefully()
        for slot in self.slots {
            slot.connection.withLock { connection in
                connection?.close()
                connection = nil
            }
        }
    }

    private func error(_ kind: SQLError.Kind, _ message: String) -> CloudError {
        SQLError(kind, message).cloudError(store: self.driver.name)
    }
}
