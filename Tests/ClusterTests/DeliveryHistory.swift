/// What the logs of pods tell of deliveries: who wrote what to whom under which epoch, and what was acknowledged.
///
/// One rule: an epoch of a device has one pod, and a pod that has acknowledged a takeover writes nothing under a
/// smaller epoch any more. The order within one pod's log is the order of its events; nothing is concluded from the
/// clocks of two pods.
struct DeliveryHistory: Sendable {
    private(set) var deliveries = 0
    private(set) var acknowledgements = 0
    private(set) var violations: [String] = []

    private struct Session: Hashable {
        let epoch: UInt64
        let pod: String
    }

    /// - Parameter logs: of each pod, its lines in order, at level debug.
    init(_ logs: [[String]]) {
        var podOfEpoch: [String: [UInt64: String]] = [:]
        for lines in logs {
            var acknowledged: [String: UInt64] = [:]
            for line in lines {
                guard let di = Self.field("device.id", in: line), let session = Self.session(in: line) else { continue }
                if line.contains("takeover acknowledged") {
                    self.acknowledgements += 1
                    acknowledged[di] = max(acknowledged[di] ?? 0, session.epoch)
                } else if line.contains("request for the device") {
                    self.deliveries += 1
                    if let bound = acknowledged[di], session.epoch < bound {
                        self.violations.append(
                            "\(di): written under \(session.epoch) by \(session.pod), which had acknowledged \(bound)")
                    }
                    let other = podOfEpoch[di, default: [:]].updateValue(session.pod, forKey: session.epoch)
                    if let other, other != session.pod {
                        self.violations.append("\(di): epoch \(session.epoch) has pods \(other) and \(session.pod)")
                    }
                }
            }
        }
    }

    private static func session(in line: String) -> Session? {
        guard let text = self.field("coap.session.id", in: line) else { return nil }
        let parts = text.split(separator: "@", maxSplits: 1)
        guard parts.count == 2, let epoch = UInt64(parts[0]) else { return nil }
        return Session(epoch: epoch, pod: String(parts[1]))
    }

    private static func field(_ key: String, in line: String) -> String? {
        line.split(separator: " ").first { $0.hasPrefix("\(key)=") }.map { String($0.dropFirst(key.count + 1)) }
    }
}
