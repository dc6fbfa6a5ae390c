// A light is a register of the mark of the last POST it took. Its deliveries are the points of linearisation: what the
// device says has to be what one hand, taking them in their order, would say, and that order may not contradict what
// clients could know of it.

extension CheckRule {
    package static let register = CheckRule(
        "register", "Each light is a register: what it says is what was delivered, in the order that clients can know"
    ) { history, finding in
        var registers = [Register](repeating: Register(), count: history.devices.count)
        for (index, delivery) in history.deliveries.enumerated() {
            let request = delivery.request.map { history.requests[$0] }
            let isFirst = request?.firstDelivery == index
            let problems = registers[delivery.device].take(delivery, of: request, isFirst: isFirst)
            guard let request else { continue }
            if request.last != nil, isFirst { finding.looked += 1 }
            for problem in problems {
                finding.add(Violation(request, in: history, at: delivery.time, problem))
            }
        }
    }

    /// What a light holds, as far as its deliveries tell.
    private struct Register {
        private var fleet: Int?
        private var lastPost: Int?
        private var lastServed: (served: Int, mark: Int)?
        /// Of the requests taken so far, the one that began last.
        private var latest: (begin: History.Time, mark: Int)?

        /// - Returns: what is wrong.
        mutating func take(_ delivery: History.Delivery, of request: History.Request?, isFirst: Bool) -> [String] {
            if self.fleet != delivery.fleet {
                // Another process: its light is as new.
                self.fleet = delivery.fleet
                self.lastPost = nil
                self.lastServed = nil
            }
            if delivery.isPost { self.lastPost = delivery.mark }
            // Of one delivered several times, nobody knows which delivery the answer is of.
            guard let request, isFirst else { return [] }
            var problems: [String] = []
            if let latest = self.latest, request.answeredBy != nil, request.end < latest.begin {
                problems.append(
                    "delivered after n=\(latest.mark), which began \(Double(latest.begin - request.end) / 1e9) s after "
                        + "the answer to this one")
            }
            if self.latest.map({ $0.begin < request.begin }) ?? true { self.latest = (request.begin, request.mark) }
            guard delivery.next == nil, request.answeredBy != nil else { return problems }
            if request.isSuccess, request.last != self.lastPost {
                let said = request.last.map { "n=\($0)" } ?? "no POST"
                let was = self.lastPost.map { "n=\($0)" } ?? "no POST"
                problems.append("the device says that the last POST was \(said), but \(was) was")
            }
            if let served = request.served {
                if let before = self.lastServed, before.served >= served {
                    problems.append(
                        "the device was asked for the \(served)th time, after n=\(before.mark) for the "
                            + "\(before.served)th")
                }
                self.lastServed = (served, request.mark)
            }
            return problems
        }
    }
}
