package import TestSupport

/// Everything a run wrote down, in memory: small enough for millions of requests.
///
/// Records are added in the order of their files; `settle()` brings them together.
package struct History: Sendable {
    /// Nanoseconds since the machine's start: one clock for all.
    package typealias Time = Int64

    package struct Phase: Sendable, Hashable {
        package var name: String
        package var isPlanned: Bool
        /// From its record to the record of the next phase: what recovers in between belongs to it.
        package var begin: Time
        package var end: Time
        /// When whoever ran it said that it was over, before the recovery.
        package var ended: Time?
        /// How many seconds it took until the sessions were even, where that was waited for.
        package var evenAfter: String?
        /// How many seconds it took until all devices were back, since there were pods for them.
        package var backAfter: Int?
    }

    package struct Request: Sendable {
        package var mark: Int
        package var due: Time
        package var begin: Time
        package var end: Time
        /// Index in `devices`.
        package var device: Int
        package var isPost: Bool
        /// 0 if there was no answer.
        package var status: Int
        package var broken: String?
        package var problem: String?
        package var answeredBy: String?
        package var answeredMark: Int?
        package var served: Int?
        package var last: Int?
        package var id: String?
        /// The phases it fell due in and ended in.
        package internal(set) var phases = 0...0
        /// Index in `deliveries` of the first with its mark.
        package internal(set) var firstDelivery: Int?
    }

    package struct Delivery: Sendable {
        package var mark: Int
        package var time: Time
        /// When the device gave its answer to the connection.
        package var answered: Time?
        package var device: Int
        package var isPost: Bool
        /// Which file it is from: each is of one process, in which the devices count from 0.
        package var fleet: Int
        /// Index in `requests`; nil if nobody sent such a mark.
        package internal(set) var request: Int?
        /// Index in `deliveries` of the next with this mark.
        package internal(set) var next: Int?
    }

    package struct Session: Sendable, Hashable {
        package var begin: Time
        package var end: Time?
        /// The device was told to go.
        package var isReleased = false
    }

    package struct Refusal: Sendable, Hashable {
        package var time: Time
        /// What the device had asked for, and the code of the answer.
        package var what: String
    }

    package struct Device: Sendable {
        package var di: String
        package var sessions: [Session] = []
        package var gaveUp: Time?
        package var releases: [Time] = []
        package var refusals: [Refusal] = []
        package var isAsked = false

        package init(di: String) {
            self.di = di
        }

        package var isSignedIn: Bool {
            guard let last = self.sessions.last else { return false }
            return last.end == nil
        }
    }

    package struct Process: Sendable {
        package var name: String
        package var program: String?
        package var started: Time?
        package var stopping: Time?
        package var killed: Time?
        package var ended: Time?
        package var status: Int?
        /// When the store acknowledged its lease.
        package var renewals: [Time] = []
        package var sessions: [(time: Time, count: Int)] = []

        package init(name: String) {
            self.name = name
        }
    }

    package struct Placement: Sendable, Hashable {
        package var time: Time
        package var device: Int
        package var process: Int
    }

    package struct Presence: Sendable, Hashable {
        package var begin: Time
        package var end: Time
        package var online: [Int]
        package var gone: [Int]
        /// Why nothing is known of this moment.
        package var failed: String?
    }

    /// For how long edges go by a route without asking whether it is still right.
    package var routeMemory: Time = 60_000_000_000
    package internal(set) var begun: Time?
    package internal(set) var over: Time?
    /// How many devices the fleets were said to have.
    package internal(set) var expectedDevices: Int?
    /// What the machine had, and what each program took of it.
    package internal(set) var cores: Int?
    package internal(set) var processorMilliseconds: [String: Int] = [:]
    package internal(set) var trafficBegun: TrafficRecord?
    package internal(set) var trafficEnded: TrafficRecord?
    /// The first is what was before all phases.
    package internal(set) var phases: [Phase] = []
    package internal(set) var requests: [Request] = []
    /// By time, after `settle()`.
    package internal(set) var deliveries: [Delivery] = []
    package internal(set) var devices: [Device] = []
    package internal(set) var processes: [Process] = []
    package internal(set) var placements: [Placement] = []
    package internal(set) var presences: [Presence] = []
    package internal(set) var releases: [Time] = []
    /// Why the run ended before its time.
    package internal(set) var unrecovered: (time: Time, phase: String, detail: String)?
    /// When a pod first came to harm: which devices it had is to be known.
    package internal(set) var harm: Time?
    /// When devices that had a session before got another one.
    package internal(set) var returns: [Time] = []
    package internal(set) var epochs = DeliveryHistory()
    /// Lines that a fleet could not write.
    package internal(set) var lost = 0
    /// Last lines of which only a part was written.
    package internal(set) var truncated = 0
    /// Why nothing can be concluded, each with what to do.
    package internal(set) var obstacles: [String] = []

    private var deviceIndex: [String: Int] = [:]
    private var processIndex: [String: Int] = [:]
    private var requestIndex: [Int: Int] = [:]
    /// Deliveries without an answer so far, by mark.
    private var unanswered: [Int: Int] = [:]

    package init() {}

    package mutating func device(_ di: String) -> Int {
        if let index = self.deviceIndex[di] { return index }
        self.deviceIndex[di] = self.devices.count
        self.devices.append(Device(di: di))
        return self.devices.count - 1
    }

    mutating func process(_ name: String) -> Int {
        if let index = self.processIndex[name] { return index }
        self.processIndex[name] = self.processes.count
        self.processes.append(Process(name: name))
        return self.processes.count - 1
    }

    /// The deliveries of a request.
    package func deliveries(of request: Request) -> some Sequence<Delivery> {
        sequence(state: request.firstDelivery) { next in
            guard let index = next else { return nil }
            next = self.deliveries[index].next
            return self.deliveries[index]
        }
    }

    /// The request falls under a phase that nobody may notice, and touches no other.
    package func isPlanned(_ request: Request) -> Bool {
        request.phases.allSatisfy { self.phases[$0].isPlanned }
    }

    /// All of it lies in phases that nobody may notice.
    package func isPlanned(from begin: Time, to end: Time) -> Bool {
        let first = self.phase(at: begin)
        return (first...max(self.phase(at: end), first)).allSatisfy { self.phases[$0].isPlanned }
    }

    /// Seconds since the run began.
    package func seconds(_ time: Time) -> Double {
        Double(time - (self.begun ?? 0)) / 1e9
    }

    // MARK: - Adding

    mutating func add(delivery record: DeviceRecord, at time: Time, fleet: Int) {
        guard let di = record.di, let mark = record.mark else { return }
        self.unanswered[mark] = self.deliveries.count
        self.deliveries.append(
            Delivery(
                mark: mark, time: time, device: self.device(di),
                isPost: record.request?.hasPrefix("POST") ?? false, fleet: fleet))
    }

    mutating func add(answer record: DeviceRecord, at time: Time) {
        guard let mark = record.mark, let index = self.unanswered.removeValue(forKey: mark) else { return }
        self.deliveries[index].answered = time
    }

    mutating func add(request: Request) {
        if self.requestIndex.updateValue(self.requests.count, forKey: request.mark) != nil {
            self.obstacles.append(
                "traffic.jsonl: two requests have the mark \(request.mark), so deliveries cannot be told apart. "
                    + "Run again with marks that begin anew in no process.")
        }
        self.devices[request.device].isAsked = true
        self.requests.append(request)
    }

    // MARK: - Bringing together

    /// Call once, after the last record.
    package mutating func settle() {
        self.settlePhases()
        for index in self.processes.indices {
            self.processes[index].renewals.sort()
            self.processes[index].sessions.sort { $0.time < $1.time }
        }
        self.placements.sort { $0.time < $1.time }
        self.presences.sort { $0.begin < $1.begin }
        self.deliveries.sort { $0.time < $1.time }
        for index in self.deliveries.indices.reversed() {
            guard let request = self.requestIndex[self.deliveries[index].mark] else { continue }
            self.deliveries[index].request = request
            self.deliveries[index].next = self.requests[request].firstDelivery
            self.requests[request].firstDelivery = index
        }
        self.unanswered = [:]
        self.requestIndex = [:]
        self.lookForGaps()
    }

    private mutating func settlePhases() {
        let begin = self.begun ?? self.phases.first?.begin ?? 0
        self.phases.insert(Phase(name: "before", isPlanned: false, begin: begin, end: begin), at: 0)
        for index in self.phases.indices {
            let isLast = index == self.phases.count - 1
            self.phases[index].end =
                isLast
                ? max(self.over ?? self.phases[index].begin, self.phases[index].begin)
                : self.phases[index + 1].begin
        }
        for index in self.requests.indices {
            let request = self.requests[index]
            let first = self.phase(at: request.due)
            self.requests[index].phases = first...max(self.phase(at: request.end), first)
        }
    }

    /// The phase that a moment belongs to.
    package func phase(at time: Time) -> Int {
        self.phases.lastIndex { $0.begin <= time } ?? 0
    }
}

extension DeviceRecord {
    /// A GET has it in its query, a POST in its body.
    package var mark: Int? { self.bodyMark ?? self.queryMark.flatMap { Int($0) } }
}
