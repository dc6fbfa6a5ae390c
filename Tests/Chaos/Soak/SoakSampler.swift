import Glibc
import TestSupport

/// Looks at the processes of a cluster once a second.
actor SoakSampler {
    private let cluster: RunCluster
    private var series: [SoakSeries] = []

    /// Gauges that are 0 when nobody is connected.
    static let gauges = [
        "coap_observations_upstream", "coap_observations_observers", "edge_observations", "http_streams_open",
    ]
    /// How often Redis is asked for all routes, in looks.
    private static let routesEvery = 2

    init(_ cluster: RunCluster) {
        self.cluster = cluster
    }

    /// What was seen by now.
    var seen: [SoakSeries] { self.series }

    /// The one process of a program.
    static func process(_ program: RunProcess.Program, of cluster: RunCluster) async throws -> RunProcess {
        guard let process = await cluster.running(program).first else {
            throw RunError("\(program.rawValue) ended: see its log in the run's folder.")
        }
        return process
    }

    /// Looks for so long, and says every half minute how it goes.
    func watch(for time: Duration, log: RunLog) async throws {
        let begun = ContinuousClock.now
        var looks = 0
        while ContinuousClock.now - begun < time {
            let seconds = (ContinuousClock.now - begun) / .seconds(1)
            try await self.look(at: seconds, withRoutes: looks.isMultiple(of: Self.routesEvery))
            if looks.isMultiple(of: 30) { log.say(self.summary) }
            looks += 1
            try await Patience.pass(.seconds(1))
        }
    }

    private func look(at seconds: Double, withRoutes: Bool) async throws {
        for program in RunProcess.Program.allCases {
            let process = try await Self.process(program, of: self.cluster)
            self.add(process, .memory, try ProcessFigures.memory(of: process.pid), at: seconds)
            self.add(process, .descriptors, try ProcessFigures.descriptors(of: process.pid), at: seconds)
            switch program {
            case .coapInterface:
                let page = try await Self.metrics(of: process)
                let sockets = try ProcessFigures.sockets(of: process.pid, port: program.port)
                self.add(process, .sockets, sockets, at: seconds)
                self.add(process, .sessions, Self.metric("coap_sessions_active", page), at: seconds)
                self.add(process, .connections, Self.metric("coap_connections_ended_total", page), at: seconds)
                guard withRoutes else { continue }
                let routes = try await self.cluster.redis.devices(on: process.name).count
                self.add(process, .routes, routes, at: seconds)
            case .northbound:
                let page = try await Self.metrics(of: process)
                self.add(process, .requests, Self.metric("http_requests_total", page), at: seconds)
            case .registry: break
            }
        }
    }

    /// A busy program may break one connection; not one after the other.
    private static func metrics(of process: RunProcess) async throws -> String {
        for _ in 0..<2 {
            if let answer = try? await process.admin.get("/metrics"), answer.status == 200 { return answer.text }
            try await Patience.pass(.milliseconds(200))
        }
        return try await process.admin.get("/metrics").text
    }

    private static func metric(_ name: String, _ page: String) -> Int {
        Int(ProcessFigures.metric(name, in: page) ?? 0)
    }

    private func add(_ process: RunProcess, _ figure: SoakFigure, _ value: Int, at seconds: Double) {
        let point = SoakSeries.Point(seconds: seconds, value: Double(value))
        if let index = self.series.firstIndex(where: { $0.process == process.name && $0.figure == figure }) {
            self.series[index].points.append(point)
        } else {
            self.series.append(SoakSeries(process.name, figure, [point]))
        }
    }

    private var summary: String {
        self.series.compactMap { series in
            series.points.last.map { "\(series.name) \(Int($0.value))" }
        }.joined(separator: ", ")
    }

    /// What there is now.
    func rest(_ name: String, devices: Int) async throws -> SoakRecord.Rest {
        var descriptors: [String: Int] = [:]
        var gauges: [String: Int] = [:]
        for program in RunProcess.Program.allCases {
            let process = try await Self.process(program, of: self.cluster)
            descriptors[process.name] = try ProcessFigures.descriptors(of: process.pid)
            let page = try await Self.metrics(of: process)
            for gauge in Self.gauges {
                if let value = ProcessFigures.metric(gauge, in: page) { gauges[gauge, default: 0] += Int(value) }
            }
        }
        let pod = try await Self.process(.coapInterface, of: self.cluster)
        let page = try await Self.metrics(of: pod)
        return SoakRecord.Rest(
            name, devices: devices, sessions: Self.metric("coap_sessions_active", page),
            sockets: try ProcessFigures.sockets(of: pod.pid, port: pod.program.port),
            routes: try await self.cluster.redis.devices(on: pod.name).count, descriptors: descriptors, gauges: gauges)
    }

    /// Looks until it is as it has to be, for as long as is reasonable.
    /// - Returns: what there is then, or is still there.
    func settled(
        _ name: String, devices: Int, within patience: Duration, _ isSettled: (SoakRecord.Rest) -> Bool
    ) async throws -> SoakRecord.Rest {
        let begun = ContinuousClock.now
        while true {
            var rest = try await self.rest(name, devices: devices)
            let waited = ContinuousClock.now - begun
            rest.seconds = waited / .seconds(1)
            if isSettled(rest) || waited >= patience { return rest }
            try await Patience.pass(.milliseconds(500))
        }
    }
}
