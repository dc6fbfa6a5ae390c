import Glibc

/// What changes when a file is replaced or written; zeros if it is not there.
struct FileStamp: Hashable, Sendable {
    private let inode: UInt64
    private let size: Int
    private let seconds: Int
    private let nanoseconds: Int

    init(path: String) {
        var status = stat()
        let isThere = stat(path, &status) == 0
        self.inode = isThere ? UInt64(status.st_ino) : 0
        self.size = isThere ? Int(status.st_size) : 0
        self.seconds = isThere ? Int(status.st_mtim.tv_sec) : 0
        self.nanoseconds = isThere ? Int(status.st_mtim.tv_nsec) : 0
    }
}

extension CertificateFiles {
    static func exists(_ path: String) -> Bool {
        var status = stat()
        return lstat(path, &status) == 0
    }

    static func isFolder(_ path: String) -> Bool {
        var status = stat()
        return stat(path, &status) == 0 && status.st_mode & S_IFMT == S_IFDIR
    }
}
