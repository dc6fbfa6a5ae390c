// What pods and devices do.

extension CheckRule {
    /// Redis forgets a pod when its lease is over, and with it who was there.
    package static let leaseSeconds: Int64 = 10
    /// What an answer may be older than the lease.
    package static let graceSeconds: Int64 = 2

    package static let presence = CheckRule(
        "presence", "Nobody is called online more than lease + 2 s after the last renewal of its pod's lease"
    ) { history, finding in
        var online = Set<Int>()
        var placed: [Int: History.Placement] = [:]
        var placements = history.placements[...]
        let allowed = (Self.leaseSeconds + Self.graceSeconds) * 1_000_000_000
        for presence in history.presences {
            online.formUnion(presence.online)
            online.subtract(presence.gone)
            while let next = placements.first, next.time <= presence.begin {
                placed[next.device] = next
                placements = placements.dropFirst()
            }
            finding.looked += 1
            // Most pods live, so that few devices have to be looked at.
            let renewals = history.processes.map { process in process.renewals.last { $0 <= presence.begin } }
            let gone = renewals.map { $0.map { presence.begin - $0 > allowed } ?? false }
            guard gone.contains(true) else { continue }
            for device in online {
                guard let placement = placed[device], gone[placement.process],
                    let renewal = renewals[placement.process],
                    !history.devices[device].sessions.contains(where: {
                        $0.begin > placement.time && $0.begin <= presence.end
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

    package static let allBack = CheckRule("all-back", "At the end each device has a session") { history, finding in
        guard let over = history.over else { return }
        var seen = 0
        for (index, device) in history.devices.enumerated() {
            finding.looked += 1
            if !device.sessions.isEmpty { seen += 1 }
            if let gaveUp = device.gaveUp {
                finding.add(Violation(at: gaveUp, in: history, device: index, "gave up"))
            } else if let last = device.sessions.last {
                guard let end = last.end else { continue }
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
