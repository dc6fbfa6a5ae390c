import CoAPTransport
package import NIOCore
import Synchronization

/// A fleet from its first device to its last word.
package struct FleetRun: Sendable {
    private let setup: FleetSetup
    private let loops: [NIOLoopBound<FleetLoop>]
    private let provisioning: FleetProvisioning?
    private let memoryBefore: Int?

    /// - Parameters:
    ///   - saved: devices of an earlier run, by their ids.
    ///   - notices: is told of the first failure of each kind.
    package init(
        _ setup: FleetSetup, on eventLoops: [any EventLoop], saved: [String: FleetSavedDevice] = [:],
        provisioning: FleetProvisioning?, history: FleetHistory? = nil, notices: FleetNotices
    ) async throws {
        self.setup = setup
        self.provisioning = provisioning
        self.memoryBefore = residentBytes()
        var loops: [NIOLoopBound<FleetLoop>] = []
        for (number, eventLoop) in eventLoops.enumerated() {
            loops.append(
                try await eventLoop.submit {
                    let loop = FleetLoop(
                        setup, on: eventLoop, provisioning: provisioning, history: history, notices: notices)
                    for index in stride(from: number, to: setup.ramp.devices, by: eventLoops.count) {
                        loop.add(index, saved[setup.di(index)])
                    }
                    return NIOLoopBound(loop, eventLoop: eventLoop)
                }.get())
        }
        self.loops = loops
    }

    /// What came of a run.
    package struct Outcome: Sendable {
        package let report: FleetReport
        package let saved: [FleetSavedDevice]
    }

    /// What a run looks like from outside, once a second.
    package struct Progress: Sendable {
        package let elapsed: Duration
        package let counts: FleetCounts
        /// Since the last time.
        package let requestsPerSecond: Double
    }

    /// Runs until `duration` is over, nothing is left to try, or the task is cancelled; then says goodbye.
    package func run(
        for duration: Duration?, progress: @escaping @Sendable (Progress) -> Void
    ) async throws -> Outcome {
        let start = ContinuousClock.now
        var watched = Watched()
        for loop in self.loops {
            try await loop.do { $0.begin() }
        }
        await withTaskGroup(of: Void.self) { tasks in
            if let provisioning = self.provisioning { tasks.addTask { await provisioning.run() } }
            watched = await self.watch(since: start, for: duration, progress)
            tasks.cancelAll()
        }
        let elapsed = ContinuousClock.now - start
        let memory = residentBytes()
        var counts = FleetCounts()
        var latencies = FleetLatencies()
        var saved: [FleetSavedDevice] = []
        for loop in self.loops {
            let part = try await loop.do { loop in
                let counts = loop.counts
                return (counts, loop.latencies, loop.stop())
            }
            counts.add(part.0)
            latencies.add(part.1)
            saved += part.2
        }
        let used = memory.flatMap { after in self.memoryBefore.map { max(after - $0, 0) } }
        return Outcome(
            report: FleetReport(
                profile: self.setup.profile.name,
                quirks: self.setup.quirks.sorted { $0.rawValue < $1.rawValue }, seed: self.setup.seed,
                duration: elapsed, counts: counts, latencies: latencies, peaks: watched.peaks,
                allSignedIn: watched.allSignedIn,
                memoryBytes: used, connected: counts.connected),
            saved: saved)
    }

    /// What is only seen while a run lasts.
    private struct Watched {
        var allSignedIn: Duration?
        var peaks: [String: Double] = [:]
    }

    /// Looks every 100 ms, tells every second.
    private func watch(
        since start: ContinuousClock.Instant, for duration: Duration?, _ progress: (Progress) -> Void
    ) async -> Watched {
        var watched = Watched()
        var last = (at: start, counts: FleetCounts())
        while true {
            let left = duration.map { $0 - (ContinuousClock.now - start) }
            if let left, left <= .zero { return watched }
            do {
                try await Task.sleep(for: min(.milliseconds(100), left ?? .milliseconds(100)))
                let counts = try await self.counts
                let now = ContinuousClock.now
                if watched.allSignedIn == nil, counts.everSignedIn == counts.devices {
                    watched.allSignedIn = now - start
                }
                let seconds = (now - last.at) / .seconds(1)
                if seconds >= 1 {
                    let rates = zip(counts.rates, last.counts.rates)
                    for (rate, before) in rates {
                        let perSecond = Double(rate.count - before.count) / seconds
                        watched.peaks[rate.name] = max(watched.peaks[rate.name] ?? 0, perSecond)
                    }
                    progress(
                        Progress(
                            elapsed: now - start, counts: counts,
                            requestsPerSecond: Double(counts.requests - last.counts.requests) / seconds))
                    last = (now, counts)
                }
                // A device that gave up does nothing more; when all have, nobody does.
                if counts.gaveUp == counts.devices { return watched }
            } catch {
                // Cancelled: somebody wants the end.
                return watched
            }
        }
    }

    /// What the devices have been through until now.
    package var counts: FleetCounts {
        get async throws {
            var counts = FleetCounts()
            for loop in self.loops {
                counts.add(try await loop.do { $0.counts })
            }
            return counts
        }
    }
}

extension NIOLoopBound where Value == FleetLoop {
    /// Does `work` with the value on its event loop.
    fileprivate func `do`<R: Sendable>(_ work: @escaping @Sendable (FleetLoop) -> R) async throws -> R {
        try await self.eventLoop.submit { work(self.value) }.get()
    }
}
