import Glibc

/// How many files this process may have open: each connection is one.
package struct OpenFiles: Sendable, Hashable {
    /// For everything else: event loops, the standard streams, files, and connections for codes.
    package static let reserve = 64

    package let limit: Int

    package init(limit: Int) {
        self.limit = limit
    }

    /// Allows as many as the system lets a process allow itself.
    package static func raised() -> OpenFiles {
        var limit = rlimit()
        guard getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit) == 0 else {
            return OpenFiles(limit: 1024)
        }
        limit.rlim_cur = limit.rlim_max
        // What is not allowed leaves the limit as it was.
        _ = setrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit)
        guard getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit) == 0 else {
            return OpenFiles(limit: 1024)
        }
        return OpenFiles(limit: Int(clamping: limit.rlim_cur))
    }

    /// Descriptors that no connection takes: libdispatch looks at its threads in /proc when it is busy, and ends the
    /// process if it cannot.
    private static let spare = 16

    /// Whether one more leaves the last ones free. The system gives the lowest number that nobody has.
    package static func haveRoom() -> Bool {
        var limit = rlimit()
        guard getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit) == 0 else { return true }
        let next = open("/dev/null", O_RDONLY | O_CLOEXEC)
        guard next >= 0 else { return false }
        close(next)
        return Int(next) + self.spare < Int(clamping: limit.rlim_cur)
    }

    /// Why so many devices do not fit, and what to do; nil if they do.
    package func problem(devices: Int) -> String? {
        let needed = devices + Self.reserve
        guard needed > self.limit else { return nil }
        let most = self.limit - Self.reserve
        let smaller = most > 0 ? "Take --devices \(most) or less, or allow more" : "Allow more"
        return "\(devices) devices need about \(needed) open files, but this process may have \(self.limit). "
            + "\(smaller): ulimit -Hn \(needed) as root before, LimitNOFILE=\(needed) for a systemd unit, "
            + "--ulimit nofile=\(needed) for a container."
    }
}

/// The memory of this process, in bytes; nil if the system does not say.
func residentBytes() -> Int? {
    guard let file = fopen("/proc/self/statm", "r") else { return nil }
    defer { fclose(file) }
    var buffer = [CChar](repeating: 0, count: 256)
    guard fgets(&buffer, Int32(buffer.count), file) != nil else { return nil }
    let text = String(decoding: buffer.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
    let words = text.split(separator: " ")
    guard words.count > 1, let pages = Int(words[1]) else { return nil }
    return pages * Int(sysconf(Int32(_SC_PAGESIZE)))
}
