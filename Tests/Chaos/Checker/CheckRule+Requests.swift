// What clients see.

extension CheckRule {
    /// A request is of the planned phases if all of it, from when it was due to its end, lies in them: one that
    /// touches an unplanned phase or the recovery from it is not judged here.
    package static let planned = CheckRule("planned", "In planned phases no request fails, nor a list of devices") {
        history, finding in
        for presence in history.presences {
            guard let cause = presence.failed, history.isPlanned(from: presence.begin, to: presence.end) else {
                continue
            }
            finding.add(Violation(at: presence.end, in: history, "GET /devices failed: \(cause)"))
        }
        for request in history.requests where history.isPlanned(request) {
            finding.looked += 1
            guard request.isFailed else { continue }
            finding.add(
                Violation(
                    request, in: history, "\(request.verb) failed in \(history.phase(of: request)): \(request.outcome)")
            )
        }
    }

    /// One pod dies at once. Its devices' requests fail, and nobody else's.
    package static let deserved = CheckRule(
        "deserved", "When a pod is killed, only requests to devices without a session fail, as they may",
        mayBeIdle: true
    ) { history, finding in
        let kills = Set(history.phases.indices.filter { history.phases[$0].name == "kill" })
        for request in history.requests {
            let touched = request.phases.filter { !history.phases[$0].isPlanned }
            guard !touched.isEmpty, touched.allSatisfy(kills.contains) else { continue }
            finding.looked += 1
            guard request.isFailed else { continue }
            if request.broken != nil || ![502, 503, 504].contains(request.status) {
                finding.add(Violation(request, in: history, "\(request.verb) ended with \(request.outcome)"))
            } else if history.hadSession(request) {
                finding.add(
                    Violation(
                        request, in: history,
                        "\(request.verb) failed with \(request.outcome), but the device was signed in all the time"))
            } else if request.isPost, request.firstDelivery != nil, request.status == 503 {
                finding.add(
                    Violation(
                        request, in: history,
                        "a POST that was delivered was answered \(request.outcome), not 502 or 504"))
            }
        }
    }

    /// Which devices a pod has is written down before it comes to harm. Who signs in later may be at any pod, and who
    /// did so lately may be remembered at the one it was at before: these are not judged here.
    package static let bystanders = CheckRule(
        "bystanders", "While one pod comes to harm and lives, requests to devices that are at another pod do not fail",
        mayBeIdle: true
    ) { history, finding in
        let harmed = Set(
            history.phases.indices.filter { RunPhase(rawValue: history.phases[$0].name)?.isOfOnePod ?? false })
        var placed = Set<[Int]>()
        for placement in history.placements { placed.insert([history.phase(at: placement.time), placement.device]) }
        for request in history.requests {
            let touched = request.phases.filter { !history.phases[$0].isPlanned }
            guard let first = touched.first, touched.allSatisfy(harmed.contains),
                !touched.contains(where: { placed.contains([$0, request.device]) }),
                history.isSignedIn(
                    request.device, from: history.phases[first].begin - history.routeMemory, to: request.end)
            else { continue }
            finding.looked += 1
            guard request.isFailed else { continue }
            finding.add(
                Violation(
                    request, in: history,
                    "\(request.verb) failed in \(history.phase(of: request)), though the device was at another pod: "
                        + request.outcome))
        }
    }

    package static let offered = CheckRule("offered", "The load that was to be offered was offered") {
        history, finding in
        guard let begun = history.trafficBegun, let ended = history.trafficEnded else { return }
        let due = ended.due ?? 0
        let sent = ended.begun ?? history.requests.count
        finding.looked += 1
        if due == 0 || Double(sent) < 0.98 * Double(due) {
            finding.add(
                Violation(
                    at: ended.time, in: history, "\(sent) of \(due) requests were begun, fewer than 98 %"))
        }
        // What fell due after that is nobody's.
        let told = history.processes.first { $0.name == "traffic" }?.stopping ?? ended.time
        var inPhase = [Int](repeating: 0, count: history.phases.count)
        for request in history.requests { inPhase[request.phases.lowerBound] += 1 }
        for (index, phase) in history.phases.enumerated() where phase.isPlanned {
            let from = max(phase.begin, begun.time)
            let to = min(phase.end, told)
            guard to > from else { continue }
            finding.looked += 1
            let expected = begun.rate * Double(to - from) / 1e9
            if Double(inPhase[index]) < 0.95 * expected - 1 {
                finding.add(
                    Violation(
                        at: phase.begin, in: history,
                        "\(phase.name): \(inPhase[index]) of \(Int(expected)) requests, fewer than 95 %"))
            }
        }
        let asked = history.devices.count { $0.isAsked }
        let all = max(history.expectedDevices ?? 0, history.devices.count)
        if asked * 2 < all {
            finding.add(
                Violation(at: ended.time, in: history, "\(asked) of \(all) devices were asked, fewer than half"))
        }
    }
}

extension History {
    func phase(of request: Request) -> String { self.phases[request.phases.lowerBound].name }

    /// The cloud sees the end of a pod at once, a fleet only when it comes to it among the ends of thousands; and a
    /// device that is far away hears half a second later that it is signed in.
    static let belated: Time = 1_000_000_000

    /// One session of the device lasted from the request's begin to its end, and went on.
    func hadSession(_ request: Request) -> Bool {
        self.isSignedIn(request.device, from: request.begin, to: request.end)
    }

    /// In one session, which went on.
    func isSignedIn(_ device: Int, from begin: Time, to end: Time) -> Bool {
        self.devices[device].sessions.contains { session in
            session.begin <= begin && (session.end.map { $0 >= end + Self.belated } ?? true)
        }
    }
}

extension History.Request {
    var verb: String { self.isPost ? "POST" : "GET" }
}
