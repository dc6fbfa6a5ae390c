import TestSupport

// How each record becomes a part of the history.

extension History {
    package mutating func add(_ record: RunRecord) {
        let process = record.process.map { self.process($0) }
        switch record.event {
        case .begun:
            self.begun = record.time
            self.expectedDevices = record.devices
            self.cores = record.cores
        case .over:
            self.over = record.time
        case .processor:
            if let program = record.program { self.processorMilliseconds[program] = record.count }
        case .phase:
            self.phases.append(
                Phase(
                    name: record.phase ?? "?", isPlanned: record.isPlanned ?? false, begin: record.time,
                    end: record.time))
        case .phaseEnded:
            if let index = self.phases.indices.last { self.phases[index].ended = record.time }
        case .even:
            let index = self.phases.lastIndex { $0.name == record.phase } ?? self.phases.indices.last
            if let index { self.phases[index].evenAfter = record.detail ?? record.count.map { "\($0)" } }
        case .placed:
            guard let di = record.di, let process else { return }
            self.placements.append(Placement(time: record.time, device: self.device(di), process: process))
        case .started, .stopping, .ended, .killed, .renewed, .sessions:
            guard let process else { return }
            if record.event == .killed { self.harm = self.harm ?? record.time }
            self.processes[process].add(record)
        case .frozen, .cut:
            self.harm = self.harm ?? record.time
        case .back:
            let index = self.phases.lastIndex { $0.name == record.phase } ?? self.phases.indices.last
            if let index { self.phases[index].backAfter = record.count }
        case .unrecovered:
            self.unrecovered = (record.time, record.phase ?? "?", record.detail ?? "")
        case .ready, .thawed, .mended, .members:
            break
        }
    }

    package mutating func add(_ record: TrafficRecord) {
        switch record.event {
        case .begun: self.trafficBegun = record
        case .ended: self.trafficEnded = record
        }
    }

    package mutating func add(_ record: RequestRecord) {
        self.add(
            request: Request(
                mark: record.n, due: record.due, begin: record.begin, end: record.end, device: self.device(record.di),
                isPost: record.method == "POST", status: record.status ?? 0, broken: record.broken,
                problem: record.problem, answeredBy: record.answeredBy, answeredMark: record.answeredMark,
                served: record.served, last: record.last, id: record.requestID))
    }

    package mutating func add(_ record: PresenceRecord) {
        self.presences.append(
            Presence(
                begin: record.begin, end: record.end, online: record.online.map { self.device($0) },
                gone: record.gone.map { self.device($0) },
                failed: record.failed))
    }

    /// - Parameter fleet: which of the files of fleets it is from.
    package mutating func add(_ record: DeviceRecord, fleet: Int) {
        if record.event == .lost { self.lost += record.count ?? 1 }
        guard let di = record.di, let time = record.time else { return }
        // What is after the end of the run is its fleets' own end.
        if let over = self.over, time > over { return }
        let device = self.device(di)
        switch record.event {
        case .signedIn:
            // A token that is renewed in the middle of a session begins no other.
            guard !self.devices[device].isSignedIn else { return }
            if !self.devices[device].sessions.isEmpty { self.returns.append(time) }
            self.devices[device].sessions.append(Session(begin: time))
        case .closed:
            guard let last = self.devices[device].sessions.indices.last else { return }
            if self.devices[device].sessions[last].end == nil { self.devices[device].sessions[last].end = time }
        case .gaveUp:
            self.devices[device].gaveUp = time
        case .released:
            self.releases.append(time)
            self.devices[device].releases.append(time)
            guard self.devices[device].isSignedIn else { return }
            self.devices[device].sessions[self.devices[device].sessions.count - 1].isReleased = true
        // Not now is an answer that devices know what to do with.
        case .refused where record.code == "5.03":
            break
        case .refused:
            let what = [record.detail, record.code].compactMap(\.self).joined(separator: " ")
            self.devices[device].refusals.append(Refusal(time: time, what: what))
        case .delivered:
            self.add(delivery: record, at: time, fleet: fleet)
        case .answered:
            self.add(answer: record, at: time)
        case .connected, .unanswered, .lost:
            break
        }
    }
}

extension History {
    /// - Parameter logs: of each pod, its lines in order, at level debug.
    package mutating func add(logs: [[String]]) {
        for lines in logs {
            self.epochs.beginLog()
            for var line in lines { line.withUTF8 { self.epochs.add(UnsafeRawBufferPointer($0)) } }
        }
    }
}

extension History.Process {
    fileprivate mutating func add(_ record: RunRecord) {
        switch record.event {
        case .started:
            self.program = record.program
            self.started = record.time
        case .stopping: self.stopping = record.time
        case .killed: self.killed = record.time
        case .ended:
            self.ended = record.time
            self.status = record.status
        case .renewed: self.renewals.append(record.at ?? record.time)
        case .sessions: self.sessions.append((record.time, record.count ?? 0))
        case .begun, .phase, .phaseEnded, .ready, .frozen, .thawed, .cut, .mended, .members, .placed, .even, .back,
            .processor,
            .unrecovered, .over:
            break
        }
    }
}
