import Glibc

/// Where it is read how much memory a process may have and how much it has.
package enum MemorySource: Sendable {
    /// The resident memory of this process, against a limit in bytes.
    case process(limit: Int)
    /// What the cgroup says, which kills when its limit is reached; nil: there is none with a limit.
    case cgroup(CgroupMemory?)

    /// Nil if nobody can say. A few reads of what the kernel has in memory: no disk is waited for.
    package func read() -> MemoryReading? {
        switch self {
        case .process(let limit): Self.resident().map { MemoryReading(used: $0, limit: limit) }
        case .cgroup(let cgroup): cgroup?.read()
        }
    }

    private static func resident() -> Int? {
        guard let text = KernelFile.text("/proc/self/statm") else { return nil }
        let words = text.split(separator: " ")
        guard words.count > 1, let pages = Int(words[1]) else { return nil }
        return pages * Int(sysconf(Int32(_SC_PAGESIZE)))
    }
}

/// The memory controller of the cgroup a process is in, and of those it is part of: version 2, else 1 (cgroups(7)).
///
/// What counts as used is the working set, as Kubernetes shows it: without the pages of files that nobody has used for
/// a while, which the kernel takes back before it kills anybody.
package struct CgroupMemory: Hashable, Sendable {
    private struct Names: Hashable {
        let limit: String
        let used: String
        let inactive: String

        static let version2 = Names(limit: "memory.max", used: "memory.current", inactive: "inactive_file")
        static let version1 = Names(
            limit: "memory.limit_in_bytes", used: "memory.usage_in_bytes", inactive: "total_inactive_file")
    }

    /// Version 1 has no word for "no limit", but the largest number of whole pages.
    private static let unlimited = 1 << 60

    private let names: Names
    /// That of the process first, then those around it.
    private let directories: [String]

    package static func ofThisProcess() -> CgroupMemory? {
        KernelFile.text("/proc/self/cgroup").flatMap { CgroupMemory(membership: $0, root: "/sys/fs/cgroup") }
    }

    /// - Parameters:
    ///   - membership: what `/proc/PID/cgroup` says: a line `ID:CONTROLLERS:PATH` for each hierarchy.
    ///   - root: where the hierarchies are mounted.
    package init?(membership: String, root: String) {
        let lines = membership.split(separator: "\n").map {
            $0.split(separator: ":", maxSplits: 2, omittingEmptySubsequences: false)
        }
        for line in lines where line.count == 3 {
            let isVersion2 = line[0] == "0" && line[1].isEmpty
            guard isVersion2 || line[1].split(separator: ",").contains("memory") else { continue }
            let names = isVersion2 ? Names.version2 : .version1
            let found = Self.directories(line[2], under: isVersion2 ? root : "\(root)/memory")
                .filter { KernelFile.text("\($0)/\(names.limit)") != nil }
            guard !found.isEmpty else { continue }
            self.names = names
            self.directories = found
            return
        }
        return nil
    }

    /// The path and all that it goes through. In a container it may be one of the machine outside, of which only the
    /// root is there.
    private static func directories(_ path: Substring, under root: String) -> [String] {
        let parts = path.split(separator: "/").filter { $0 != ".." }
        return (0...parts.count).reversed().map { ([Substring(root)] + parts.prefix($0)).joined(separator: "/") }
    }

    /// Of all that have a limit the one that is nearest to it. A limit may change while the process runs.
    package func read() -> MemoryReading? {
        self.directories.compactMap { directory in
            guard let limit = KernelFile.number("\(directory)/\(self.names.limit)"), limit > 0, limit < Self.unlimited,
                let used = KernelFile.number("\(directory)/\(self.names.used)")
            else { return nil }
            return MemoryReading(used: max(0, used - self.inactive(in: directory)), limit: limit)
        }.max { $0.percent < $1.percent }
    }

    private func inactive(in directory: String) -> Int {
        guard let text = KernelFile.text("\(directory)/memory.stat") else { return 0 }
        let line = text.split(separator: "\n").first { $0.hasPrefix("\(self.names.inactive) ") }
        return line.flatMap { Int($0.dropFirst(self.names.inactive.utf8.count + 1)) } ?? 0
    }
}

/// Small files that the kernel makes while they are read.
enum KernelFile {
    private static let maximumBytes = 16 * 1024

    /// Nil if it cannot be read.
    static func text(_ path: String) -> String? {
        let descriptor = open(path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { return nil }
        defer { close(descriptor) }
        var bytes = [UInt8](repeating: 0, count: Self.maximumBytes)
        var length = 0
        while length < bytes.count {
            let count = bytes[length...].withUnsafeMutableBytes { Glibc.read(descriptor, $0.baseAddress, $0.count) }
            if count < 0 { return nil }
            if count == 0 { break }
            length += count
        }
        return String(decoding: bytes[..<length], as: UTF8.self)
    }

    /// Nil if it cannot be read or holds no number, such as `max`.
    static func number(_ path: String) -> Int? {
        self.text(path).flatMap { Int($0.prefix { $0 != "\n" }) }
    }
}
