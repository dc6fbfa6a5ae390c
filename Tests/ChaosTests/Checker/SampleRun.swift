import Chaos
import FoundationEssentials
import TestSupport

/// A small run in which all is well, to plant faults into: what the rules of the checker mean, by example.
///
/// Four lamps, two requests a second from second 10 to 90; nobody is asked by two at once.
///
///     second   phase            what happens
///      0       (before)         pod-1 and pod-2 start; lamp-1 and lamp-2 sign in at pod-1, lamp-3 and lamp-4 at pod-2
///     10       steady, planned
///     20       roll, planned    pod-3 starts, pod-1 is told to stop; its lamps get a Release and are away from 22 to
///                               25; who asks them waits that long; pod-1 ends with status 0
///     40       kill, unplanned  pod-2 is killed at 41; its lamps are at pod-3 from 44; who asks them meanwhile fails
///     60       freeze, unplanned pod-3 stands still for a moment; lamp-4 is called another pod's
///     70       calm, planned
///     90       over
struct SampleRun {
    /// One request, and what became of it.
    struct Ask {
        enum Answer {
            /// Of the device that it reached first, or that was asked.
            case device(status: Int)
            case problem(Int, String)
            case broken(String)
        }

        var mark = 0
        var method = "GET"
        var di: String
        /// When it was due and begun, in seconds; and how long it took.
        var at: Double
        var took = 0.02
        /// Where it got, and how many seconds after it began.
        var reaches: [(di: String, after: Double)]
        var answer = Answer.device(status: 200)
        /// What is written down in its stead.
        var edit: @Sendable (inout RequestRecord) -> Void = { _ in }

        init(_ method: String, _ di: String, at: Double) {
            self.method = method
            self.di = di
            self.at = at
            self.reaches = [(di, 0.01)]
        }

        /// One that reached nobody.
        static func refused(_ method: String, _ di: String, at: Double, _ status: Int, _ problem: String) -> Ask {
            var ask = Ask(method, di, at: at)
            ask.answer = .problem(status, problem)
            ask.reaches = []
            return ask
        }
    }

    struct Away: Hashable {
        var from: Double
        var to: Double
    }

    static let lamps = ["lamp-1", "lamp-2", "lamp-3", "lamp-4"]
    static let rate = 2.0
    /// All is quicker here.
    static let routeMemory: History.Time = 10_000_000_000

    var run: [RunRecord] = []
    var asks: [Ask] = []
    var devices: [DeviceRecord] = []
    var presences: [PresenceRecord] = []
    var logs: [String: [String]] = ["pod-1": [], "pod-2": [], "pod-3": []]
    var begun = TrafficRecord(.begun, time: Self.time(10), rate: Self.rate, connections: 4)
    var ended = TrafficRecord(.ended, time: Self.time(90), rate: Self.rate, connections: 4)
    /// Requests that fell due and were never begun.
    var waiting = 0
    /// Lines that a fleet says it lost.
    var lost = 0

    static func time(_ seconds: Double) -> Int64 { 36_000_000_000_000 + Int64((seconds * 1e9).rounded()) }

    /// A run in which all is well.
    init() {
        self.writePhases()
        self.writePods()
        let moved = Away(from: 22, to: 25)
        let killed = Away(from: 41, to: 44)
        for lamp in Self.lamps {
            let isMoved = lamp == "lamp-1" || lamp == "lamp-2"
            self.writeSessions(of: lamp, away: isMoved ? moved : killed, isReleased: isMoved)
        }
        for index in 0..<160 {
            let lamp = Self.lamps[index % 4]
            let at = 10 + Double(index) / Self.rate
            let method = index % 3 == 0 ? "POST" : "GET"
            var ask = Ask(method, lamp, at: at)
            let isMoved = lamp == "lamp-1" || lamp == "lamp-2"
            if isMoved, moved.from <= at, at < moved.to {
                // It waits, and order is kept.
                ask.reaches[0].after = moved.to - at + 0.1 + at / 1000
                ask.took = ask.reaches[0].after + 0.01
            } else if !isMoved, killed.from <= at, at < killed.to {
                ask = .refused(method, lamp, at: at, 503, "/errors#offline")
            }
            self.asks.append(ask)
        }
        self.writeInFlight()
        // At 43 Redis still knows lamp-4 at pod-2, whose lease was renewed at 40.
        self.presence(at: 12, online: Self.lamps)
        self.presence(at: 43, gone: ["lamp-3"])
        self.presence(at: 46, online: ["lamp-3"])
        self.presence(at: 80)
        self.log("pod-1", "request for the device", "lamp-1", epoch: 1)
        self.log("pod-1", "takeover acknowledged", "lamp-1", epoch: 2)
        self.log("pod-3", "request for the device", "lamp-1", epoch: 2)
    }

    // MARK: - What it is made of

    private mutating func writePhases() {
        self.say(.begun, at: 0) {
            $0.devices = Self.lamps.count
            $0.cores = 2
        }
        for (program, milliseconds) in [("coap-interface", 90_000), ("mock-device", 18_000), ("sh", 100)] {
            self.say(.processor, at: 89.5) {
                $0.program = program
                $0.count = milliseconds
            }
        }
        for (name, isPlanned, from, to) in [
            ("steady", true, 10.0, 19.0), ("roll", true, 20, 35), ("kill", false, 40, 50), ("freeze", false, 60, 65),
            ("calm", true, 70, 89),
        ] {
            self.say(.phase, at: from) {
                $0.phase = name
                $0.isPlanned = isPlanned
            }
            self.say(.phaseEnded, at: to) { $0.phase = name }
        }
        self.say(.even, at: 34) {
            $0.phase = "roll"
            $0.count = 14
        }
        self.say(.over, at: 90)
    }

    private mutating func writePods() {
        for (pod, from, to) in [("pod-1", 0.0, 28.0), ("pod-2", 0, 41), ("pod-3", 20, 90)] {
            self.say(.started, at: from, pod) { $0.program = "coap-interface" }
            for second in stride(from: from, to: to, by: 2) {
                self.say(.renewed, at: second + 0.5, pod) { $0.at = Self.time(second) }
                self.say(.sessions, at: second + 0.5, pod) { $0.count = 2 }
            }
        }
        self.say(.stopping, at: 21, "pod-1")
        self.say(.ended, at: 28, "pod-1") { $0.status = 0 }
        for lamp in Self.lamps { self.say(.placed, at: 40, lamp < "lamp-3" ? "pod-3" : "pod-2") { $0.di = lamp } }
        for lamp in Self.lamps.dropLast() { self.say(.placed, at: 60.1, "pod-3") { $0.di = lamp } }
        self.say(.killed, at: 41, "pod-2")
        self.say(.ended, at: 41.1, "pod-2") { $0.status = 9 }
    }

    private mutating func writeSessions(of lamp: String, away: Away, isReleased: Bool) {
        self.device(.connected, lamp, at: 1)
        self.device(.signedIn, lamp, at: 2)
        // A token that is renewed begins no other session.
        self.device(.signedIn, lamp, at: 5)
        if isReleased { self.device(.released, lamp, at: away.from - 0.01) }
        self.device(.closed, lamp, at: away.from)
        self.device(.connected, lamp, at: away.to - 1, connection: 2)
        self.device(.signedIn, lamp, at: away.to, connection: 2)
        // The fleet's own end.
        self.device(.closed, lamp, at: 91, connection: 2)
    }

    /// What was with lamp-3 when its pod was killed: of a POST nobody knows what became, a GET is sent once more.
    private mutating func writeInFlight() {
        var post = Ask("POST", "lamp-3", at: 40.98)
        post.took = 0.1
        post.answer = .problem(502, "/errors#outcome-unknown")
        var get = Ask("GET", "lamp-4", at: 40.985)
        get.reaches.append(("lamp-4", 3.1))
        get.took = 3.2
        self.asks += [post, get]
    }

    mutating func say(
        _ event: RunRecord.Event, at seconds: Double, _ process: String? = nil,
        _ more: (inout RunRecord) -> Void = { _ in },
    ) {
        var record = RunRecord(event, time: Self.time(seconds))
        record.process = process
        more(&record)
        self.run.append(record)
    }

    mutating func device(_ event: DeviceRecord.Event, _ di: String, at seconds: Double, connection: Int = 1) {
        self.devices.append(DeviceRecord(event, time: Self.time(seconds), di: di, connection: connection))
    }

    mutating func presence(at seconds: Double, online: [String] = [], gone: [String] = [], failed: String? = nil) {
        self.presences.append(
            PresenceRecord(
                begin: Self.time(seconds), end: Self.time(seconds + 0.05), online: online, gone: gone, failed: failed))
    }

    mutating func log(_ pod: String, _ text: String, _ di: String, epoch: Int) {
        self.logs[pod, default: []].append(
            "2026-11-21T10:00:00.000Z debug coap-interface \"\(text)\" coap.session.id=\(epoch)@\(pod) device.id=\(di)")
    }

    // MARK: - What is written down

    /// Everything the requests leave behind: the lamps take them in the order in which they arrive.
    private func traffic() -> (requests: [RequestRecord], devices: [DeviceRecord]) {
        var requests = self.asks.enumerated().map { index, ask in
            var record = RequestRecord(
                n: index + 1, di: ask.di, method: ask.method, due: Self.time(ask.at), begin: Self.time(ask.at),
                end: Self.time(ask.at + ask.took), connection: index % 4 + 1)
            record.requestID = "id-\(index + 1)"
            switch ask.answer {
            case .device(let status):
                record.status = status
                record.answeredBy = ask.di
                record.answeredMark = record.n
            case .problem(let status, let problem):
                record.status = status
                record.problem = problem
            case .broken(let cause):
                record.broken = cause
            }
            return record
        }
        let arrivals = self.asks.indices.flatMap { index in
            self.asks[index].reaches.enumerated().map { (index, $0.offset, $0.element.di, $0.element.after) }
        }.sorted { self.asks[$0.0].at + $0.3 < self.asks[$1.0].at + $1.3 }
        var lights: [String: (served: Int, last: Int?)] = [:]
        var devices = self.devices
        for (index, count, di, after) in arrivals {
            let ask = self.asks[index]
            lights[di, default: (0, nil)].served += 1
            if ask.method == "POST" { lights[di]?.last = index + 1 }
            for (event, time) in [(DeviceRecord.Event.delivered, after), (.answered, after + 0.002)] {
                var record = DeviceRecord(event, time: Self.time(ask.at + time), di: di, connection: 1)
                record.request = "\(ask.method) /light"
                if ask.method == "POST" { record.bodyMark = index + 1 } else { record.queryMark = "\(index + 1)" }
                devices.append(record)
            }
            guard case .device = ask.answer, count == 0 else { continue }
            requests[index].served = lights[di]?.served
            requests[index].last = lights[di]?.last
        }
        for (index, ask) in self.asks.enumerated() { ask.edit(&requests[index]) }
        devices.sort { ($0.time ?? 0) < ($1.time ?? 0) }
        return (requests, devices)
    }

    /// Says of all requests that they were begun, unless something else was planted.
    private var end: TrafficRecord {
        var record = self.ended
        record.begun = record.begun ?? self.asks.count
        record.due = record.due ?? (self.asks.count + self.waiting)
        return record
    }

    private var fleets: [[DeviceRecord]] {
        let devices = self.traffic().devices
        var fleets = [[DeviceRecord]](repeating: [], count: 2)
        for device in devices { fleets[device.di?.hasSuffix("1") ?? true ? 0 : 1].append(device) }
        if self.lost > 0 {
            var record = DeviceRecord(.lost)
            record.count = self.lost
            fleets[1].append(record)
        }
        return fleets
    }

    /// As the checker has it in memory.
    var history: History {
        var history = History()
        history.routeMemory = Self.routeMemory
        for record in self.run.sorted(by: { $0.time < $1.time }) { history.add(record) }
        history.add(self.begun)
        for record in self.traffic().requests { history.add(record) }
        for record in self.presences { history.add(record) }
        history.add(self.end)
        for (index, fleet) in self.fleets.enumerated() { for record in fleet { history.add(record, fleet: index) } }
        history.add(logs: self.logs.sorted { $0.key < $1.key }.map(\.value))
        history.settle()
        return history
    }

    /// As a run leaves it on the disk.
    func write(to folder: String) throws {
        try FileManager.default.createDirectory(atPath: "\(folder)/logs", withIntermediateDirectories: true)
        func write(_ name: String, _ lines: [String]) throws {
            try Data(lines.map { $0 + "\n" }.joined().utf8).write(to: URL(filePath: "\(folder)/\(name)"))
        }
        func line(_ record: some Encodable) throws -> String {
            String(decoding: try JSONEncoder().encode(record), as: UTF8.self)
        }
        try write("run.jsonl", try self.run.sorted { $0.time < $1.time }.map(line))
        let traffic = try self.traffic().requests.map(line) + self.presences.map(line)
        try write("traffic.jsonl", try [line(self.begun)] + traffic + [line(self.end)])
        for (index, fleet) in self.fleets.enumerated() { try write("fleet-\(index + 1).jsonl", try fleet.map(line)) }
        for (pod, lines) in self.logs { try write("logs/\(pod).log", lines) }
    }
}
