import Foundation
import Logging
import NIOCore
import ServiceShell
import Synchronization
import Testing

@Suite("The memory ceiling")
struct MemoryCeilingTests {
    private static let start = NIODeadline.uptimeNanoseconds(1_000_000_000_000)

    private static func at(_ percent: Int) -> MemoryReading { MemoryReading(used: percent * 10, limit: 1000) }

    @Test("BI-88: memory is short from 80 % on, once what is free was given back, and there again below 75 %")
    func hysteresis() {
        var machine = MemoryMachine()
        #expect(machine.read(Self.at(79), now: Self.start) == .none)
        #expect(machine.read(Self.at(80), now: Self.start) == .trim)
        #expect(!machine.isShort)
        #expect(machine.read(Self.at(80), now: Self.start) == .begin)
        #expect(machine.isShort)
        for percent in [100, 79, 75, 80, 79] {
            #expect(machine.read(Self.at(percent), now: Self.start) == .none)
            #expect(machine.isShort)
        }
        #expect(machine.read(Self.at(74), now: Self.start) == .end)
        #expect(!machine.isShort)
        #expect(machine.read(Self.at(79), now: Self.start) == .none)
    }

    @Test("What was free only is nobody's shortage: after it was given back nothing begins")
    func trimmedInTime() {
        var machine = MemoryMachine()
        #expect(machine.read(Self.at(85), now: Self.start) == .trim)
        #expect(machine.read(Self.at(60), now: Self.start) == .none)
        #expect(!machine.isShort)
    }

    @Test("While memory is short, what is free is given back every ten seconds, which lets it end")
    func trimsAgain() {
        var machine = MemoryMachine()
        #expect(machine.read(Self.at(90), now: Self.start) == .trim)
        #expect(machine.read(Self.at(90), now: Self.start) == .begin)
        #expect(machine.read(Self.at(90), now: Self.start + .milliseconds(9999)) == .none)
        #expect(machine.read(Self.at(78), now: Self.start + .seconds(10)) == .trim)
        #expect(machine.read(Self.at(50), now: Self.start + .seconds(10)) == .end)
    }

    @Test("Whatever is read: it begins at 80 % or more, ends below 75 %, by turns, and trims once in ten seconds")
    func anyReadings() {
        var generator = SystemRandomNumberGenerator()
        for _ in 0..<200 {
            var machine = MemoryMachine()
            var now = Self.start
            var trimmed: NIODeadline?
            for _ in 0..<200 {
                now = now + .milliseconds(.random(in: 0...3000, using: &generator))
                let percent = Int.random(in: 60...100, using: &generator)
                let before = machine.isShort
                switch machine.read(Self.at(percent), now: now) {
                case .none: #expect(machine.isShort == before)
                case .trim:
                    if let trimmed { #expect(now - trimmed >= .seconds(10)) }
                    trimmed = now
                    #expect(machine.isShort == before)
                case .begin: #expect(!before && machine.isShort && percent >= 80)
                case .end: #expect(before && !machine.isShort && percent < 75)
                }
                if percent < 75 { #expect(!machine.isShort) }
            }
        }
    }

    @Test(
        "The share is right for limits of any size",
        arguments: [(Int.max, Int.max, 100), (1, Int.max, 0), (50, 60, 50)])
    func percent(used: Int, limit: Int, percent: Int) {
        #expect(MemoryReading(used: used, limit: limit).percent == percent)
    }

    @Test("BI-88: the log has one line when it begins and one when it ends, with both figures")
    func lines() {
        let sink = MemorySink()
        let used = Mutex<Int?>(100)
        let ceiling = MemoryCeiling(logger: Observability.logger(label: "ceilings", sink: sink)) {
            used.withLock { $0.map { MemoryReading(used: $0, limit: 1000) } }
        }
        var now = Self.start
        func look(_ bytes: Int?) -> Bool {
            used.withLock { $0 = bytes }
            now = now + .seconds(1)
            ceiling.look(now: now)
            return ceiling.isShort
        }
        #expect(!look(100))
        #expect(look(900))
        #expect(look(950))
        // What nobody can say changes nothing.
        #expect(look(nil))
        #expect(!look(100))
        #expect(!look(nil))
        #expect(sink.lines.count == 2)
        #expect(sink.lines[0].contains("warning ceilings"))
        #expect(sink.lines[0].contains("memory.limit=1000 memory.used=900"))
        #expect(sink.lines[1].contains("info ceilings"))
    }

    // MARK: Where it is read

    /// A tree of files under a new directory.
    private static func withTree(_ files: [String: String], _ body: (String) throws -> Void) throws {
        let root = "\(NSTemporaryDirectory())cgroup-\(UUID().uuidString)"
        defer { try? FileManager.default.removeItem(atPath: root) }
        for (path, text) in files {
            let whole = "\(root)/\(path)"
            try FileManager.default.createDirectory(
                atPath: (whole as NSString).deletingLastPathComponent, withIntermediateDirectories: true)
            try text.write(toFile: whole, atomically: false, encoding: .utf8)
        }
        try body(root)
    }

    @Test("Version 2: used is what is charged without inactive pages of files, of the cgroup nearest to its limit")
    func version2() throws {
        let files = [
            "pods/memory.max": "1000\n", "pods/memory.current": "900\n",
            "pods/memory.stat": "anon 1\ninactive_file 500\n",
            "pods/one/memory.max": "2000\n", "pods/one/memory.current": "1500\n",
            "pods/one/memory.stat": "total_inactive_file 9\ninactive_file 100\nactive_file 50\n",
            "pods/one/inner/memory.max": "max\n", "pods/one/inner/memory.current": "1400\n",
        ]
        try Self.withTree(files) { root in
            let cgroup = try #require(CgroupMemory(membership: "1:name=systemd:/x\n0::/pods/one/inner\n", root: root))
            #expect(cgroup.read() == MemoryReading(used: 1400, limit: 2000))
            // A limit that is changed while the process runs counts from then on.
            try "10000\n".write(toFile: "\(root)/pods/one/memory.max", atomically: false, encoding: .utf8)
            #expect(cgroup.read() == MemoryReading(used: 400, limit: 1000))
        }
    }

    @Test("Version 1: its controller is found among the others, and its largest number is no limit")
    func version1() throws {
        let files = [
            "memory/memory.limit_in_bytes": "9223372036854771712\n", "memory/memory.usage_in_bytes": "1\n",
            "memory/docker/a/memory.limit_in_bytes": "1000\n", "memory/docker/a/memory.usage_in_bytes": "700\n",
            "memory/docker/a/memory.stat": "inactive_file 1\ntotal_inactive_file 100\n",
        ]
        try Self.withTree(files) { root in
            let lines = "3:cpuset:/docker/a\n4:memory:/docker/a\n0::/\n"
            #expect(CgroupMemory(membership: lines, root: root)?.read() == MemoryReading(used: 600, limit: 1000))
            let around = try #require(CgroupMemory(membership: "4:memory:/\n", root: root))
            #expect(around.read() == nil)
        }
    }

    @Test("In a container that sees its own cgroup as the root, the path outside leads there")
    func container() throws {
        let files = ["memory.max": "1000", "memory.current": "10", "memory.stat": ""]
        for path in ["/", "/../..", "/kubepods/pod1/abc"] {
            try Self.withTree(files) { root in
                let cgroup = CgroupMemory(membership: "0::\(path)\n", root: root)
                #expect(cgroup?.read() == MemoryReading(used: 10, limit: 1000))
            }
        }
    }

    @Test(
        "Where there is no controller, or nonsense, nobody says anything", arguments: ["", "0::/\n", "x", "4:memory\n"])
    func nothing(membership: String) throws {
        try Self.withTree(["other": ""]) { root in
            #expect(CgroupMemory(membership: membership, root: root) == nil)
        }
        #expect(MemorySource.cgroup(nil).read() == nil)
    }

    @Test("Against a limit that is set, what counts is the resident memory of the process itself")
    func resident() throws {
        // Other tests run beside this one, and take and give back: so it is looked at between two looks at the same.
        var readings: [(before: Int, reading: MemoryReading, after: Int)] = []
        for _ in 0..<100 {
            let before = try Self.residentBytes()
            let reading = try #require(MemorySource.process(limit: 1 << 40).read())
            readings.append((before, reading, try Self.residentBytes()))
        }
        #expect(readings.allSatisfy { $0.reading.limit == 1 << 40 && $0.reading.used > 1 << 20 })
        let slack = 1 << 20
        #expect(
            readings.contains { before, reading, after in
                abs(before - after) <= slack && abs(reading.used - before) <= slack
            })
    }

    /// As proc(5) has it for people, in kB.
    private static func residentBytes() throws -> Int {
        let status = try String(contentsOfFile: "/proc/self/status", encoding: .utf8)
        let line = try #require(status.split(separator: "\n").first { $0.hasPrefix("VmRSS:") })
        return try #require(line.split(separator: " ").compactMap { Int($0) }.first) * 1024
    }
}
