import Glibc
package import Logging
import Synchronization

/// How many files, sockets included, this process may have open.
package enum DescriptorLimit {
    /// Allows as many as the system lets a process allow itself: the limit that is set is mostly that of a shell.
    package static func raised(logger: Logger) -> Int {
        let before = Self.current() ?? rlimit(rlim_cur: 1024, rlim_max: 1024)
        var limit = before
        limit.rlim_cur = limit.rlim_max
        // What is not allowed leaves the limit as it was.
        _ = setrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit)
        let after = Self.current() ?? before
        if after.rlim_cur != before.rlim_cur {
            logger.info(
                "the limit of open files is raised",
                metadata: ["from": "\(before.rlim_cur)", "to": "\(after.rlim_cur)"])
        }
        return Int(clamping: after.rlim_cur)
    }

    private static func current() -> rlimit? {
        var limit = rlimit()
        return getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit) == 0 ? limit : nil
    }
}

/// How many connections from outside a process takes, so that enough descriptors are left for what it opens itself:
/// the stores, other programs, files, its admin port. Without any it could not even say what is wrong.
package final class DescriptorCeiling: Sendable {
    /// How many connections fit.
    package let maximum: Int
    /// The limit of open files that it follows from.
    package let limit: Int
    private let taken = Atomic(0)

    /// - Parameter limit: the descriptors of the process.
    package init(_ limit: Int, eventLoops: Int) {
        self.limit = limit
        self.maximum = limit - Self.reserve(of: limit, eventLoops: eventLoops)
    }

    /// What is never given to connections from outside. An event loop has three of its own; the admin port has 64
    /// connections; the rest is for stores, files, and what grows with a cluster: connections to and from its programs.
    static func reserve(of limit: Int, eventLoops: Int) -> Int {
        min(limit / 2, 128 + 3 * eventLoops + limit / 16)
    }

    /// Takes a place; false if there is none.
    package func take() -> Bool {
        guard self.taken.add(1, ordering: .relaxed).newValue <= self.maximum else {
            self.giveBack()
            return false
        }
        return true
    }

    package func giveBack() {
        self.taken.subtract(1, ordering: .relaxed)
    }

    /// Says so if a bound that is set can never be reached.
    /// - Parameters:
    ///   - connections: the bound.
    ///   - setting: where it comes from.
    package func check(_ connections: Int, setting: String, logger: Logger) {
        guard connections > self.maximum else { return }
        logger.warning(
            "\(setting) is more than the limit of open files leaves room for: raise the limit (ulimit -Hn)",
            metadata: [
                "setting": "\(connections)", "connections.maximum": "\(self.maximum)", "open.files": "\(self.limit)",
            ])
    }
}
