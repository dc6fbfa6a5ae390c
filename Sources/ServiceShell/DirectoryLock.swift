import Glibc
import Synchronization

/// Keeps a data directory to one process: two gateways on one directory would each know half of the sessions.
///
/// The kernel gives the lock back when the process ends, however it ends.
package final class DirectoryLock: Sendable {
    private let descriptor: Mutex<Int32?>

    /// - Throws: that another process has it, naming the directory.
    package init(_ directory: String) throws(KeptFile.Failure) {
        try KeptFile.createDirectory(directory)
        let path = "\(directory)/lock"
        let descriptor = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0o600)
        guard descriptor >= 0 else {
            throw KeptFile.Failure(path: path, reason: String(cString: strerror(errno)))
        }
        guard flock(descriptor, LOCK_EX | LOCK_NB) == 0 else {
            close(descriptor)
            throw KeptFile.Failure(
                path: directory, reason: "another coap-gateway runs on it",
                hint: "stop that one, or give this one a DATA_DIR and ports of its own")
        }
        self.descriptor = Mutex(descriptor)
    }

    deinit {
        self.release()
    }

    /// Gives the directory to the next.
    package func release() {
        self.descriptor.withLock { descriptor in
            if let open = descriptor { close(open) }
            descriptor = nil
        }
    }
}
