extension SoakRecord.Rest {
    /// Above what a process had before the load: connections to others that are made when they are first needed, and
    /// whoever asks for metrics at that moment.
    package static let descriptorsAllowed = 12

    /// What is there that should not be, in sentences.
    package func leftOver(before: SoakRecord.Rest) -> [String] {
        var violations: [String] = []
        if Set([self.sessions, self.sockets, self.routes, self.devices]).count > 1 {
            violations.append(
                "\(self.name): \(self.devices) devices are connected, but there are \(self.sessions) sessions, "
                    + "\(self.sockets) sockets and \(self.routes) routes, after \(spoken(seconds: self.seconds)).")
        }
        for (process, count) in self.descriptors.sorted(by: { $0.key < $1.key }) {
            guard let earlier = before.descriptors[process] else { continue }
            // Each device that is gone took one with it where the devices are.
            let gone = process.hasPrefix(RunProcess.Program.coapInterface.prefix) ? before.devices - self.devices : 0
            let most = earlier - gone + Self.descriptorsAllowed
            guard count > most else { continue }
            violations.append(
                "\(self.name): \(process) has \(count) open files; before the load it had \(earlier), so that "
                    + "\(most) are allowed.")
        }
        for (gauge, count) in self.gauges.sorted(by: { $0.key < $1.key }) where count != 0 {
            violations.append("\(self.name): \(gauge) is \(count), though nobody is left.")
        }
        return violations
    }

    func isSettled(before: SoakRecord.Rest) -> Bool {
        self.leftOver(before: before).isEmpty
    }
}
