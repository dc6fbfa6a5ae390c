import Glibc

/// One at a time in a folder. The kernel gives the lock back when the process ends, however it ends.
struct FolderLock: Sendable {
    private let descriptor: Int32

    /// Waits for up to ten seconds, on the calling thread: whoever has it needs milliseconds.
    init(_ folder: String) throws(CertificateError) {
        let path = "\(folder)/lock"
        let descriptor = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0o600)
        guard descriptor >= 0 else { throw CertificateError(path: path, reason: CertificateFiles.systemReason()) }
        var attempts = 0
        while flock(descriptor, LOCK_EX | LOCK_NB) != 0 {
            attempts += 1
            guard attempts < 1000 else {
                close(descriptor)
                throw CertificateError(
                    path: folder, reason: "another program is changing it; try again when it is done")
            }
            usleep(10_000)
        }
        self.descriptor = descriptor
    }

    func release() { close(self.descriptor) }
}
