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
        self.lookForStrangers()
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
