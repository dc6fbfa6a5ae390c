import Foundation

/// Adds up what the programs of a run take of the processors. It sees all of them: a run has a process namespace of its
/// own. What a process takes in its last second is not seen.
actor ProcessorWatch {
    private var seen: [String: Int] = [:]
    private var ticks: [String: Int] = [:]

    /// Until the task is cancelled.
    func run() async {
        while (try? await Patience.pass(.seconds(1))) != nil { self.look() }
    }

    /// Milliseconds by program, user and system together.
    var milliseconds: [String: Int] {
        let perSecond = sysconf(Int32(_SC_CLK_TCK))
        return self.ticks.mapValues { $0 * 1000 / max(1, perSecond) }
    }

    func look() {
        let processes = (try? FileManager.default.contentsOfDirectory(atPath: "/proc")) ?? []
        for pid in processes where pid.allSatisfy(\.isNumber) {
            guard let words = Self.text("/proc/\(pid)/cmdline")?.split(separator: "\0").map(String.init),
                let program = Self.program(words), let stat = Self.text("/proc/\(pid)/stat"),
                let spent = Self.ticks(stat)
            else { continue }
            self.ticks[program, default: 0] += max(0, spent - (self.seen.updateValue(spent, forKey: pid) ?? 0))
        }
    }

    /// By a handle: Foundation's other ways forget a page each time they read an empty file, as the threads of the
    /// kernel have them.
    private static func text(_ path: String) -> String? {
        let bytes = try? FileHandle(forReadingAtPath: path)?.readToEnd()
        return bytes.map { String(decoding: $0, as: UTF8.self) }
    }

    /// By its name, and for `chaos` its command: `chaos traffic` is not the run itself. Redis writes its address behind
    /// its name.
    static func program(_ words: [String]) -> String? {
        let path = words.first?.split(separator: " ").first
        guard let name = path?.split(separator: "/").last.map(String.init) else { return nil }
        return name == "chaos" && words.count > 1 ? "\(name) \(words[1])" : name
    }

    /// proc(5): user time is the 14th field and system time the 15th; the 2nd is a name in parentheses, with anything
    /// in it.
    static func ticks(_ stat: String) -> Int? {
        guard let end = stat.lastIndex(of: ")") else { return nil }
        let fields = stat[end...].split(separator: " ")
        guard fields.count > 13, let user = Int(fields[12]), let system = Int(fields[13]) else { return nil }
        return user + system
    }
}
