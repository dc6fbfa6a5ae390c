import TestSupport
import Testing

@testable import Chaos

@Suite("What a soak run shows")
struct SoakReportTests {
    /// A figure once a second for ten minutes, with `noise` up and down, and `more` on top of 50,000.
    private static func series(
        _ figure: SoakFigure = .memory, around typical: Double = 50_000, noise: Double = 0, seconds: Int = 600,
        seed: UInt64 = 1, _ more: (Int) -> Double = { _ in 0 }
    ) -> SoakSeries {
        var generator = SeededGenerator(seed: seed)
        let points = (0..<seconds).map { second in
            let chance = noise == 0 ? 0 : Double.random(in: -noise...noise, using: &generator)
            return SoakSeries.Point(seconds: Double(second), value: typical + chance + more(second))
        }
        return SoakSeries("pod-1", figure, points)
    }

    private static func rest(_ name: String, _ devices: Int) -> SoakRecord.Rest {
        SoakRecord.Rest(
            name, devices: devices, sessions: devices, sockets: devices, routes: devices,
            descriptors: ["pod-1": 20 + devices, "northbound-1": 25], gauges: ["http_streams_open": 0])
    }

    /// One in which nothing is wrong.
    private static func record(_ memory: SoakSeries = Self.series(noise: 500)) -> SoakRecord {
        let others = [SoakFigure.descriptors, .sockets, .sessions, .routes].map {
            Self.series($0, around: 200, noise: 20)
        }
        return SoakRecord(
            warmUp: 60, seconds: 600,
            series: [memory] + others + [Self.series(.connections, around: 0) { Double($0 * 20) }],
            before: Self.rest("before", 100), after: [Self.rest("afterwards", 100), Self.rest("empty", 0)],
            strangers: [.init(due: 1000, begun: 1000)])
    }

    private static func grows(_ series: SoakSeries) throws -> Bool {
        let trend = try #require(SoakTrend(series, after: 60))
        return trend.growth > series.figure.allowance(typical: trend.typical)
    }

    @Test("A flat figure is flat, however noisy", arguments: [1, 20, 50], [0.0, 500, 5000])
    func flat(seed: UInt64, noise: Double) throws {
        #expect(try !Self.grows(Self.series(noise: noise, seed: seed)))
    }

    @Test("A leak is found under the noise of an allocator", arguments: 1...20)
    func leaking(seed: UInt64) throws {
        // 4.5 MiB in nine minutes.
        #expect(try Self.grows(Self.series(noise: 2000, seed: seed) { Double($0) * 8.5 }))
    }

    @Test("What grows during the warm-up only is flat")
    func warmUp() throws {
        #expect(try !Self.grows(Self.series(noise: 100) { Double(min($0, 60)) * 500 }))
    }

    @Test("One step is no leak, a staircase is one")
    func steps() throws {
        #expect(try !Self.grows(Self.series(noise: 100) { $0 > 400 ? 20_000 : 0 }))
        #expect(try Self.grows(Self.series(noise: 100) { Double($0 / 50) * 1000 }))
    }

    @Test("Peaks of moments do not hide a leak, nor make one")
    func peaks() throws {
        #expect(try Self.grows(Self.series { Double($0) * 10 + ($0 % 10 == 0 ? -30_000 : 0) }))
        #expect(try !Self.grows(Self.series { $0 % 10 == 0 ? Double($0) * 100 : 0 }))
    }

    @Test("What shrinks does not grow")
    func shrinking() throws {
        #expect(try !Self.grows(Self.series { Double($0) * -20 }))
    }

    @Test("A session of a hundred that is not put away is found in ten minutes")
    func sessions() throws {
        // 20 connections a second, one of a hundred leaks.
        #expect(try Self.grows(Self.series(.sessions, around: 300, noise: 30) { Double($0) * 0.2 }))
    }

    @Test("A day's run is judged in a moment, by its hundreds of medians")
    func long() throws {
        let series = Self.series(noise: 3000, seconds: 86_400) { Double($0) * 0.1 }
        let trend = try #require(SoakTrend(series, after: 60))
        #expect(abs(trend.slope - 0.1) < 0.01)
    }

    @Test("A run in which nothing is wrong is good")
    func good() {
        let report = SoakReport(Self.record())
        #expect(report.verdict == .kept, "\(report.table.joined(separator: "\n"))")
        #expect(report.findings.count == 5)
    }

    @Test("Each planted leak is found, and nothing else is", arguments: SoakFigure.allCases.filter(\.isJudged))
    func planted(figure: SoakFigure) throws {
        var record = Self.record()
        let index = try #require(record.series.firstIndex { $0.figure == figure })
        for (second, point) in record.series[index].points.enumerated() {
            record.series[index].points[second].value = point.value + Double(second) * (figure == .memory ? 20 : 0.2)
        }
        let report = SoakReport(record)
        #expect(report.verdict == .broken)
        #expect(report.violations.count == 1)
        #expect(report.findings.filter(\.grows).map(\.figure) == [figure])
    }

    @Test("What is left at the end is found, each by itself")
    func leftOver() {
        let changes: [(String, (inout SoakRecord) -> Void)] = [
            ("a session", { $0.after[0].sessions += 1 }), ("a socket", { $0.after[1].sockets += 1 }),
            ("a route", { $0.after[1].routes += 1 }), ("a device is missing", { $0.after[0].sessions -= 1 }),
            ("an observation", { $0.after[1].gauges["edge_observations"] = 1 }),
            // Sockets of the devices that left count as left over where devices are, and nowhere else.
            ("open files", { $0.after[1].descriptors["pod-1"] = 33 }),
            ("open files of others", { $0.after[1].descriptors["northbound-1"] = 38 }),
            ("a complaint", { $0.complaints = ["steady ended with status 1"] }),
        ]
        for (name, change) in changes {
            var record = Self.record()
            change(&record)
            let report = SoakReport(record)
            #expect(report.verdict == .broken, "\(name)")
            #expect(report.violations.count == 1, "\(name)")
        }
    }

    @Test("A few open files more are pools, not leaks")
    func pools() {
        var record = Self.record()
        record.after[1].descriptors = ["pod-1": 32, "northbound-1": 37]
        #expect(SoakReport(record).verdict == .kept)
    }

    @Test("A run that was too short, too slow or blind does not tell")
    func unknown() {
        let changes: [(inout SoakRecord) -> Void] = [
            { $0.series[0].points = $0.series[0].points.filter { $0.seconds < 70 } },
            { $0.strangers = [.init(due: 1000, begun: 400)] }, { $0.strangers = [] }, { $0.after = [] },
            { $0.series.removeAll { $0.figure == .routes } },
        ]
        for change in changes {
            var record = Self.record()
            change(&record)
            #expect(SoakReport(record).verdict == .unknown)
        }
    }

    @Test("A leak that was seen is told, even if something else was not seen")
    func brokenBeforeUnknown() {
        var record = Self.record(Self.series { Double($0) * 50 })
        record.strangers = []
        #expect(SoakReport(record).verdict == .broken)
    }

    @Test("It is told how small a leak would have been found")
    func smallest() throws {
        let finding = try #require(SoakReport(Self.record()).findings.first { $0.figure == .memory })
        // 3,048 KiB in 539 s with 20 connections each.
        #expect(abs(try #require(finding.smallestLeak) - 3048 / (539.0 * 20)) < 0.01)
    }

    @Test("The table of figures has a column for each, and a dash where nobody looked")
    func tsv() {
        let record = SoakRecord(
            warmUp: 1, seconds: 2,
            series: [
                SoakSeries("pod-1", .memory, [.init(seconds: 0, value: 7), .init(seconds: 1, value: 8)]),
                SoakSeries("pod-1", .routes, [.init(seconds: 1, value: 3)]),
            ], before: Self.rest("before", 1), after: [], strangers: [])
        #expect(
            SoakDrawing(record).tsv == "seconds\tpod-1 memory\tpod-1 routes\n0.0\t7\t-\n1.0\t8\t3\n")
    }
}
