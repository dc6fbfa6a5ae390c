import CoreMetrics
package import Logging
package import NIOCore
import NIOPosix
import ServiceLifecycle
import Synchronization

/// Looks four times a second whether memory is short. While it is, whoever accepts connections takes no new ones: a
/// process that the kernel kills for want of memory loses all of those it has.
package final class MemoryCeiling: Service {
    static let period: Duration = .milliseconds(250)

    private let reading: @Sendable () -> MemoryReading?
    private let logger: Logger
    private let short = Atomic(false)
    private let machine = Mutex(MemoryMachine())
    private let used = Gauge(label: "process.memory.used")
    private let limit = Gauge(label: "process.memory.limit")
    private let shortage = Gauge(label: "process.memory.short")

    /// - Parameter reading: how much there is, and how much is used; nil: nobody can say.
    package init(logger: Logger, reading: @escaping @Sendable () -> MemoryReading?) {
        self.reading = reading
        self.logger = logger
    }

    /// Whether new connections are to be refused. Read for each of them, on any thread.
    package var isShort: Bool { self.short.load(ordering: .relaxed) }

    package func run() async throws {
        self.shortage.record(0)
        await cancelWhenGracefulShutdown {
            while !Task.isCancelled {
                // Giving memory back takes the allocator some time, so none of Swift's own threads does it.
                try? await NIOThreadPool.singleton.runIfActive { self.look(now: .now()) }
                // A cancelled sleep ends the loop at once.
                try? await Task.sleep(for: Self.period)
            }
        }
    }

    /// One look. What cannot be read, for want of a descriptor perhaps, changes nothing.
    package func look(now: NIODeadline) {
        guard var reading = self.reading() else { return }
        var action = self.machine.withLock { $0.read(reading, now: now) }
        if action == .trim {
            giveBackFreeMemory(0)
            guard let again = self.reading() else { return }
            reading = again
            action = self.machine.withLock { $0.read(again, now: now) }
        }
        self.used.record(reading.used)
        self.limit.record(reading.limit)
        switch action {
        case .none, .trim: return
        case .begin:
            self.short.store(true, ordering: .relaxed)
            self.shortage.record(1)
            self.logger.warning(
                "memory is short: new connections are refused, those there are stay", metadata: reading.metadata)
        case .end:
            self.short.store(false, ordering: .relaxed)
            self.shortage.record(0)
            self.logger.info("memory is there again: new connections are taken", metadata: reading.metadata)
        }
    }
}

extension MemoryReading {
    fileprivate var metadata: Logger.Metadata {
        .init([.memoryUsed: "\(self.used)", .memoryLimit: "\(self.limit)"])
    }
}

/// `malloc_trim(3)`, which glibc has in a header that its module does not show: whole pages that are free go back to
/// the system, wherever they are.
@_silgen_name("malloc_trim")
@discardableResult
private func giveBackFreeMemory(_ pad: Int) -> Int32
