import TestSupport

// What devices get.

extension CheckRule {
    /// A GET whose outcome is unknown may be sent once more; in planned phases no outcome is.
    package static let once = CheckRule("once", "No POST is delivered twice, and no GET in planned phases") {
        history, finding in
        for delivery in history.deliveries {
            finding.looked += 1
            guard let next = delivery.next else { continue }
            let again = history.deliveries[next]
            let request = delivery.request.map { history.requests[$0] }
            guard delivery.isPost || again.isPost || request.map(history.isPlanned) ?? false else { continue }
            let after = Double(again.time - delivery.time) / 1e9
            var violation = Violation(
                at: again.time, in: history, device: again.device,
                "a \(delivery.isPost ? "POST" : "GET") was delivered again after \(after) s")
            violation.mark = delivery.mark
            violation.requestID = request?.id
            finding.add(violation)
        }
    }

    /// All processes of a run read one clock, so that nothing has to be allowed for.
    package static let rightDevice = CheckRule(
        "right-device", "Who is asked answers what it was asked, and has got it meanwhile"
    ) { history, finding in
        for request in history.requests where request.answeredBy != nil || request.isSuccess {
            finding.looked += 1
            let di = history.devices[request.device].di
            if let by = request.answeredBy, by != di {
                finding.add(Violation(request, in: history, "\(by) has answered"))
            } else if request.answeredBy != nil, request.answeredMark != request.mark {
                let mark = request.answeredMark.map { "n=\($0)" } ?? "no n"
                finding.add(Violation(request, in: history, "the answer has \(mark)"))
            } else if request.isSuccess {
                let isThere = history.deliveries(of: request).contains {
                    $0.device == request.device && $0.time >= request.begin && $0.time <= request.end
                }
                guard !isThere else { continue }
                let found = history.deliveries(of: request).map {
                    "\(history.devices[$0.device].di) at \(history.seconds($0.time)) s"
                }
                let where_ = found.isEmpty ? "was never delivered" : "was delivered to \(found.joined(separator: ", "))"
                finding.add(Violation(request, in: history, "answered with \(request.status), but it \(where_)"))
            }
        }
    }

    package static let undelivered = CheckRule(
        "undelivered-means-undelivered", "What is called undelivered never reaches a device", mayBeIdle: true
    ) { history, finding in
        for request in history.requests where request.isUndelivered {
            finding.looked += 1
            guard let first = request.firstDelivery.map({ history.deliveries[$0] }) else { continue }
            finding.add(
                Violation(
                    request, in: history,
                    "answered with \(request.outcome), but delivered at \(history.seconds(first.time)) s to "
                        + history.devices[first.device].di))
        }
    }

    package static let epochs = CheckRule(
        "epochs", "An epoch has one pod, and who acknowledged a takeover writes nothing under a smaller one"
    ) { history, finding in
        finding.looked = history.epochs.deliveries
        for violation in history.epochs.violations {
            finding.add(Violation(when: violation.time, device: violation.device, violation.problem))
        }
        finding.add(uncounted: history.epochs.violationCount - history.epochs.violations.count)
    }
}
