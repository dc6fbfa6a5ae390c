package import MockDevice
package import NIOCore
import NIOPosix
import TestSupport

/// The traffic from its first request to its last.
package struct TrafficRun: Sendable {
    private let plan: TrafficPlan
    private let targets: TrafficTargets
    private let door: HTTPDoor
    private let presenceEvery: Duration
    private let history: EventFile<TrafficEvent>?
    private let eventLoop: any EventLoop

    /// - Parameter history: is told of every request, and of its beginning and end.
    package init(
        _ plan: TrafficPlan, _ targets: TrafficTargets, to door: HTTPDoor, presenceEvery: Duration = .seconds(2),
        history: EventFile<TrafficEvent>?, on eventLoop: any EventLoop = MultiThreadedEventLoopGroup.singleton.any()
    ) {
        self.plan = plan
        self.targets = targets
        self.door = door
        self.presenceEvery = presenceEvery
        self.history = history
        self.eventLoop = eventLoop
    }

    /// What a run looks like from outside, every five seconds.
    package struct Progress: Sendable {
        package let elapsed: Duration
        package let figures: TrafficMachine.Figures
        package let failed: Int

        package var line: String {
            "\(Int(self.elapsed / .seconds(1))) s: \(grouped(self.figures.due)) due, \(grouped(self.figures.begun)) begun, "
                + "\(grouped(self.figures.waiting)) waiting, \(grouped(self.figures.inFlight)) in flight, "
                + "\(grouped(self.figures.connections)) connections, \(grouped(self.failed)) failed"
        }
    }

    /// Runs until `duration` is over or the task is cancelled; then waits for the answers that are due.
    /// - Parameter say: is told what people have to know, a line each.
    /// - Throws: if it cannot begin.
    package func run(
        for duration: Duration?, say: @escaping @Sendable (String) -> Void
    ) async throws -> TrafficReport {
        let address = try await self.resolve()
        var watch = PresenceWatch(
            HTTPTestClient(host: self.door.host, port: self.door.port, patience: 10), self.targets)
        let first = try await self.firstRound(&watch, say)
        let finished = self.eventLoop.makePromise(of: Void.self)
        let start = MonotonicTime.now
        self.note(.begun, nil)
        self.history?.note(.presence(first))
        let loop = try await self.eventLoop.submit {
            let loop = TrafficLoop(
                self.plan, self.targets, to: address, authority: self.authority, on: self.eventLoop,
                history: self.history, finished: finished)
            loop.tick()
            return NIOLoopBound(loop, eventLoop: self.eventLoop)
        }.get()
        let begun = watch
        let (counts, lasted) = await withTaskGroup(of: PresenceWatch.Counts?.self) { tasks in
            tasks.addTask { await self.watch(begun, since: start) }
            tasks.addTask {
                await self.tell(loop, since: start, say)
                return nil
            }
            await self.pause(until: duration.map { start + $0.nanoseconds } ?? .max)
            tasks.cancelAll()
            // Answers may still take long, but nothing falls due meanwhile.
            let lasted = try? await loop.do {
                $0.stop()
                return Duration.nanoseconds(MonotonicTime.now - start)
            }
            var counts: PresenceWatch.Counts?
            for await result in tasks { counts = result ?? counts }
            return (counts ?? PresenceWatch.Counts(), lasted ?? .zero)
        }
        try await finished.futureResult.get()
        let report = try await loop.do {
            TrafficReport(
                plan: self.plan, duration: lasted, figures: $0.figures, outcomes: $0.outcomes, presence: counts)
        }
        self.note(.ended, report.figures)
        return report
    }

    // MARK: - Beginning

    private var authority: String {
        self.door.host.contains(":") ? "[\(self.door.host)]:\(self.door.port)" : "\(self.door.host):\(self.door.port)"
    }

    /// Once: what is behind one address is no business of a client.
    private func resolve() async throws -> SocketAddress {
        let door = self.door
        do {
            return try await NIOThreadPool.singleton.runIfActive {
                try SocketAddress.makeAddressResolvingHost(door.host, port: door.port)
            }
        } catch {
            throw FleetError("\(door.host) has no address: \(error). See --url.")
        }
    }

    /// Finds out whether the tokens are good and the devices there.
    private func firstRound(
        _ watch: inout PresenceWatch, _ say: (String) -> Void
    ) async throws -> PresenceRecord {
        let round: (record: PresenceRecord, devices: Set<String>)
        do {
            round = try await watch.ask()
        } catch let error as FleetError {
            throw error
        } catch {
            throw FleetError(
                "No list of devices can be had from \(self.authority): \(error). Does the HTTP side of the gateway "
                    + "listen there? See --url.")
        }
        let missing = (0..<self.targets.count).lazy.map { self.targets.device($0).di }.filter {
            !round.devices.contains($0)
        }
        if let one = missing.first {
            say(
                "The gateway does not know \(grouped(missing.count)) of \(grouped(self.targets.count)) devices, "
                    + "\(one) for one: requests to them will be answered 404. See --token-file.")
        }
        return round.record
    }

    private func note(_ event: TrafficRecord.Event, _ figures: TrafficMachine.Figures?) {
        var record = TrafficRecord(
            event, time: MonotonicTime.now, rate: self.plan.rate, connections: self.plan.minimumConnections)
        record.due = figures?.due
        record.begun = figures?.begun
        self.history?.note(.traffic(record))
    }

    // MARK: - Meanwhile

    private func watch(_ watch: PresenceWatch, since start: Int64) async -> PresenceWatch.Counts {
        var watch = watch
        var next = start
        let interval = self.presenceEvery.nanoseconds
        while true {
            // A round that takes longer leaves out those that would have begun meanwhile.
            next += max(1, (MonotonicTime.now - next) / interval + 1) * interval
            guard await self.pause(until: next) else { return watch.counts }
            let begin = MonotonicTime.now
            do {
                self.history?.note(.presence(try await watch.ask().record))
            } catch {
                // The next may be better; that this one failed is for the judge.
                let cause = sanitized("\(error)", limit: 200)
                self.history?.note(
                    .presence(
                        PresenceRecord(
                            begin: begin, end: MonotonicTime.now, online: [], gone: [], failed: cause)))
            }
        }
    }

    private func tell(_ loop: NIOLoopBound<TrafficLoop>, since start: Int64, _ say: (String) -> Void) async {
        var seconds: Int64 = 5
        while await self.pause(until: start + seconds * 1_000_000_000) {
            let elapsed = Duration.nanoseconds(MonotonicTime.now - start)
            guard
                let progress = try? await loop.do({
                    Progress(elapsed: elapsed, figures: $0.figures, failed: $0.outcomes.failed)
                })
            else { return }
            say(progress.line)
            seconds += 5
        }
    }

    /// - Returns: false if the task was cancelled before.
    @discardableResult
    private func pause(until time: Int64) async -> Bool {
        let alarm = self.eventLoop.scheduleTask(deadline: .uptimeNanoseconds(UInt64(clamping: time))) {}
        do {
            try await withTaskCancellationHandler {
                try await alarm.futureResult.get()
            } onCancel: {
                alarm.cancel()
            }
            return !Task.isCancelled
        } catch {
            return false
        }
    }
}

extension NIOLoopBound where Value == TrafficLoop {
    /// Does `work` with the value on its event loop.
    fileprivate func `do`<R: Sendable>(_ work: @escaping @Sendable (TrafficLoop) -> R) async throws -> R {
        try await self.eventLoop.submit { work(self.value) }.get()
    }
}
