import Foundation
import Glibc

/// What the system and the programs say of themselves, as they say it.
package enum ProcessFigures {
    /// KiB of memory that is the process's own: the line `Anonymous:` of `/proc/PID/smaps_rollup`.
    package static func memory(ofRollup text: String) -> Int? {
        let line = text.split(separator: "\n").first { $0.hasPrefix("Anonymous:") }
        guard let words = line?.split(separator: " "), words.count == 3, words[2] == "kB" else { return nil }
        return Int(words[1])
    }

    /// Sockets of `/proc/PID/net/tcp` or `tcp6` at a port of this end that a process has. One that only the kernel
    /// still has is none: it waits for the time after a connection, or for its last packets to arrive.
    package static func sockets(ofTable text: String, port: Int) -> Int {
        text.split(separator: "\n").dropFirst().count { line in
            let words = line.split(separator: " ")
            guard words.count > 9, let digits = words[1].split(separator: ":").last, Int(digits, radix: 16) == port
            else { return false }
            return words[3] != Self.listening && words[9] != "0"
        }
    }

    /// `TCP_LISTEN` of the kernel's `tcp_states.h`.
    private static let listening: Substring = "0A"

    /// The value of a metric in Prometheus' text format, over all its labels; nil if there is none.
    package static func metric(_ name: String, in page: String) -> Double? {
        var sum: Double?
        for line in page.split(separator: "\n") where line.hasPrefix(name) {
            guard let mark = line.dropFirst(name.count).first, mark == " " || mark == "{",
                let value = line.split(separator: " ").last.flatMap({ Double($0) })
            else { continue }
            sum = (sum ?? 0) + value
        }
        return sum
    }

    // MARK: Of processes that run

    static func memory(of pid: pid_t) throws -> Int {
        let file = "/proc/\(pid)/smaps_rollup"
        guard let text = Self.text(file), let memory = Self.memory(ofRollup: text) else {
            throw RunError("\(file) does not say how much memory the process has: it ended, or this is no Linux.")
        }
        return memory
    }

    static func descriptors(of pid: pid_t) throws -> Int {
        let folder = "/proc/\(pid)/fd"
        guard let names = try? FileManager.default.contentsOfDirectory(atPath: folder) else {
            throw RunError("\(folder) cannot be read: the process ended.")
        }
        return names.count
    }

    /// In the network that the process is in.
    static func sockets(of pid: pid_t, port: Int) throws -> Int {
        guard let table = Self.text("/proc/\(pid)/net/tcp") else {
            throw RunError("/proc/\(pid)/net/tcp cannot be read: the process ended.")
        }
        let other = Self.text("/proc/\(pid)/net/tcp6") ?? ""
        return Self.sockets(ofTable: table, port: port) + Self.sockets(ofTable: other, port: port)
    }

    /// Such files have no size: they are read to their end.
    private static func text(_ path: String) -> String? {
        guard let file = FileHandle(forReadingAtPath: path) else { return nil }
        defer { try? file.close() }
        guard let data = try? file.readToEnd() else { return nil }
        return String(decoding: data, as: UTF8.self)
    }
}
