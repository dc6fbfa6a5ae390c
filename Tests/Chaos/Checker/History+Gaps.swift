extension History {
    /// Notes what is missing in a run that went to its end: without it nothing can be concluded.
    mutating func lookForGaps() {
        if self.begun == nil {
            self.obstacles.append("run.jsonl has no line `begun`: it is no run from its start. Run again.")
        }
        if self.over == nil {
            self.obstacles.append(
                "run.jsonl has no line `over`: the run was cut short, and what was still to be seen is not there. "
                    + "Run again and let it end.")
        }
        if self.trafficBegun == nil || self.trafficEnded == nil {
            self.obstacles.append(
                "traffic.jsonl has no line `begun` or no line `ended`: requests may be missing. "
                    + "Run again and let the traffic end before the run does.")
        }
        if self.lost > 0 {
            self.obstacles.append(
                "\(self.lost) events of devices were lost, as they came faster than the disk took them. "
                    + "Run again on a faster disk, with fewer devices or with more fleets.")
        }
        if let begun = self.trafficEnded?.begun {
            let missing = begun - self.requests.count
            if missing < 0 || missing > self.truncated {
                self.obstacles.append(
                    "traffic.jsonl has the lines of \(self.requests.count) requests, and \(begun) were begun. "
                        + "See logs/traffic.log for what was not written, and run again.")
            }
        }
        self.lookForLeases()
        self.lookForStrangers()
    }

    /// A pod's lease is renewed every few seconds.
    private mutating func lookForLeases() {
        let least: Time = 30_000_000_000
        for process in self.processes where process.program == "coap-interface" && process.renewals.isEmpty {
            guard let started = process.started, let end = process.killed ?? process.ended ?? self.over,
                end - started > least
            else { continue }
            self.obstacles.append(
                "run.jsonl has no line `renewed` for \(process.name), so that presence cannot be judged. Compare what "
                    + "the run reads from Redis with docs/redis.md, and run again.")
        }
        if self.harm != nil, self.placements.isEmpty {
            self.obstacles.append(
                "run.jsonl tells of pods that came to harm, and has no line `placed`: which devices they had is not "
                    + "known. Compare what the run reads from Redis with docs/redis.md, and run again.")
        }
    }

    private mutating func lookForStrangers() {
        let strangers = self.deliveries.filter { $0.request == nil }
        // The line of one request may be the one that was written in part.
        guard strangers.count > self.truncated, let first = strangers.first else { return }
        self.obstacles.append(
            "\(strangers.count) deliveries have marks of no request in traffic.jsonl, the first of them n=\(first.mark) "
                + "at \(self.devices[first.device].di): its lines are missing, or the files are of different runs. "
                + "Run again.")
    }
}
