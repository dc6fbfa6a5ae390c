import Glibc

/// A file that only its owner may read, because there are tokens in it.
struct SecretFile: Sendable {
    let path: String

    /// Replaces the file as a whole: whoever reads it meanwhile sees the old one or the new one.
    func replace(with bytes: [UInt8]) throws(SecretFileError) {
        let temporary = "\(self.path).\(getpid()).new"
        unlink(temporary)
        // Exclusive, so that a link somebody put there is not followed.
        let file = open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0o600)
        guard file >= 0 else { throw SecretFileError("cannot be written", errno: errno) }
        var rest = bytes[...]
        while !rest.isEmpty {
            let written = rest.withUnsafeBytes { write(file, $0.baseAddress, $0.count) }
            if written > 0 {
                rest = rest.dropFirst(written)
            } else if errno != EINTR {
                break
            }
        }
        let isSafe = rest.isEmpty && fsync(file) == 0
        let failure = SecretFileError("cannot be written", errno: errno)
        close(file)
        guard isSafe else {
            unlink(temporary)
            throw failure
        }
        guard rename(temporary, self.path) == 0 else {
            let failure = SecretFileError("cannot be replaced", errno: errno)
            unlink(temporary)
            throw failure
        }
    }

    /// - Returns: nil if there is no such file.
    func read(atMost maximum: Int) throws(SecretFileError) -> [UInt8]? {
        let file = open(self.path, O_RDONLY | O_CLOEXEC)
        guard file >= 0 else {
            if errno == ENOENT { return nil }
            throw SecretFileError("cannot be read", errno: errno)
        }
        defer { close(file) }
        var bytes: [UInt8] = []
        var chunk = [UInt8](repeating: 0, count: 65_536)
        while true {
            let count = Glibc.read(file, &chunk, chunk.count)
            if count < 0 {
                if errno == EINTR { continue }
                throw SecretFileError("cannot be read", errno: errno)
            }
            if count == 0 { return bytes }
            bytes += chunk.prefix(count)
            guard bytes.count <= maximum else { throw SecretFileError("is larger than \(maximum) bytes") }
        }
    }
}

/// What is wrong with the file, as it goes behind its name: "cannot be read (Permission denied)".
struct SecretFileError: Error, Hashable {
    let problem: String

    init(_ problem: String) {
        self.problem = problem
    }

    init(_ problem: String, errno: CInt) {
        self.init("\(problem) (\(systemMessage(errno)))")
    }
}
