// What pods and devices do.

extension CheckRule {
    /// Redis forgets a pod when its lease is over, and with it who was there.
    package static let leaseSeconds: Int64 = 10
    /// What an answer may be older than the lease.
    package static let graceSeconds: Int64 = 2

    package static let presence = CheckRule(
        "presence", "Nobody is called online more than lease + 2 s after the last renewal of its pod's lease",
        // Where no pod comes to harm there is nobody whose place is known.
        mayBeIdle: true
    ) { history, finding in
        var online = Set<Int>()
        var placed: [Int: History.Placement] = [:]
        var placements = history.placements[...]
        let allowed = (Self.leaseSeconds + Self.graceSeconds) * 1_000_000_000
        for presence in history.presences where presence.failed == nil {
            online.formUnion(presence.online)
            online.subtract(presence.gone)
            while let next = placements.first, next.time <= presence.begin {
                placed[next.device] = next
                placements = placements.dropFirst()
            }
            guard !placed.isEmpty else { continue }
            let renewals = history.processes.map { process in process.renewals.last { $0 <= presence.begin } }
            finding.looked += online.count { device in
                placed[device].map { renewals[$0.process] != nil } ?? false
            }
            // Most pods live, so that few devices have to be looked at.
            let gone = renewals.map { $0.map { presence.begin - $0 > allowed } ?? false }
            guard gone.contains(true) else { continue }
            for device in online {
                guard let placement = placed[device], gone[placement.process],
                    let renewal = renewals[placement.process],
                    !history.devices[device].sessions.contains(where: {
                        $0.begin > placement.time && $0.begin <= presence.end + History.belated
                    })
                else { continue }
                let late = Double(presence.begin - renewal) / 1e9
                finding.add(
                    Violation(
                        at: presence.begin, in: history, device: device,
                        "called online \(late) s after the last renewal of the lease of "
                            + "\(history.processes[placement.process].name), and it has not signed in again"))
            }
        }
    }

    /// Those who operate the cluster tell devices to go, and no device loses its session otherwise.
    package static let movedOnly = CheckRule(
        "moved-only", "In planned phases sessions end by a Release only, and nobody is refused for good or sent about",
        // Accidents alone move nobody.
        mayBeIdle: true
    ) { history, finding in
        for (index, device) in history.devices.enumerated() {
            for session in device.sessions {
                guard let end = session.end, history.phases[history.phase(at: end)].isPlanned else { continue }
                finding.looked += 1
                guard !session.isReleased else { continue }
                finding.add(Violation(at: end, in: history, device: index, "lost its session without a Release"))
            }
            for refusal in device.refusals where history.phases[history.phase(at: refusal.time)].isPlanned {
                finding.add(Violation(at: refusal.time, in: history, device: index, "was refused: \(refusal.what)"))
            }
            var phase = -1
            var count = 0
            for time in device.releases {
                let other = history.phase(at: time)
                count = other == phase ? count + 1 : 1
                phase = other
                // Who was told to go may arrive at a pod that stops, of which the balancer has not heard yet.
                guard count == 3, history.phases[phase].isPlanned else { continue }
                finding.add(
                    Violation(
                        at: time, in: history, device: index,
                        "was told to go a third time in \(history.phases[phase].name)"))
            }
        }
    }

    package static let allBack = CheckRule("all-back", "At the end each device has a session") { history, finding in
        guard let over = history.over else { return }
        if let (time, phase, detail) = history.unrecovered {
            finding.add(Violation(at: time, in: history, "no recovery from \(phase): \(detail)"))
        }
        for (index, device) in history.devices.enumerated() {
            finding.looked += 1
            if let gaveUp = device.gaveUp {
                finding.add(Violation(at: gaveUp, in: history, device: index, "gave up"))
            } else if let last = device.sessions.last {
                // Who was told to go a moment before the end is on its way.
                guard let end = last.end, !(last.isReleased && over - end < 10_000_000_000) else { continue }
                finding.add(Violation(at: end, in: history, device: index, "lost its session, and got no other"))
            } else {
                finding.add(Violation(at: over, in: history, device: index, "never had a session"))
            }
        }
        if let expected = history.expectedDevices, expected > history.devices.count {
            finding.add(
                Violation(
                    at: over, in: history,
                    "of \(expected) devices only \(history.devices.count) were ever heard of"))
        }
    }

    package static let endedWell = CheckRule("ended-well", "Who is told to stop ends with status 0, and nobody unasked")
    {
        history, finding in
        for process in history.processes {
            let status = process.status.map { "with status \($0)" } ?? "nobody knows how"
            if let stopping = process.stopping {
                finding.looked += 1
                guard process.killed == nil, process.status != 0 || process.ended == nil else { continue }
                let problem = process.ended == nil ? "has not ended" : "ended \(status)"
                finding.add(Violation(at: process.ended ?? stopping, in: history, "\(process.name) \(problem)"))
            } else if let ended = process.ended, process.killed == nil {
                finding.add(Violation(at: ended, in: history, "\(process.name) ended unasked, \(status)"))
            }
        }
    }
}
