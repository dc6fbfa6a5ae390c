/// What the logs of pods tell of deliveries: who wrote what to whom under which epoch, and what was acknowledged.
///
/// One rule: an epoch of a device has one pod, and a pod that has acknowledged a takeover writes nothing under a
/// smaller epoch any more. The order within one pod's log is the order of its events; nothing is concluded from the
/// clocks of two pods.
package struct DeliveryHistory: Sendable {
    /// Something that must not be.
    package struct Violation: Sendable, Hashable, CustomStringConvertible {
        /// As the log has it.
        package let time: String
        package let device: String
        package let problem: String

        package var description: String { "\(self.device): \(self.problem)" }
    }

    package private(set) var deliveries = 0
    package private(set) var acknowledgements = 0
    /// The first of them.
    package private(set) var violations: [Violation] = []
    /// All of them.
    package private(set) var violationCount = 0

    private static let maximumKept = 1000

    private struct Session {
        let epoch: UInt64
        let pod: String
    }

    private var podOfEpoch: [String: [UInt64: String]] = [:]
    /// Of the pod whose log is being read.
    private var acknowledged: [String: UInt64] = [:]

    package init() {}

    /// - Parameter logs: of each pod, its lines in order, at level debug.
    package init(_ logs: [[String]]) {
        for lines in logs {
            self.beginLog()
            for var line in lines { line.withUTF8 { self.add(UnsafeRawBufferPointer($0)) } }
        }
    }

    /// What is added from here on is of another pod.
    package mutating func beginLog() {
        self.acknowledged = [:]
    }

    /// Takes the next line of a log.
    package mutating func add(_ line: UnsafeRawBufferPointer) {
        let isAcknowledgement = line.end(of: "takeover acknowledged") != nil
        guard isAcknowledgement || line.end(of: "request for the device") != nil,
            let di = Self.field(" device.id=", in: line), let session = Self.session(in: line)
        else { return }
        func violates(_ problem: String) {
            self.violationCount += 1
            guard self.violations.count < Self.maximumKept else { return }
            let time = String(decoding: line.prefix { $0 != UInt8(ascii: " ") }, as: UTF8.self)
            self.violations.append(Violation(time: time, device: di, problem: problem))
        }
        if isAcknowledgement {
            self.acknowledgements += 1
            self.acknowledged[di] = max(self.acknowledged[di] ?? 0, session.epoch)
            return
        }
        self.deliveries += 1
        if let bound = self.acknowledged[di], session.epoch < bound {
            violates("written under \(session.epoch) by \(session.pod), which had acknowledged \(bound)")
        }
        let other = self.podOfEpoch[di, default: [:]].updateValue(session.pod, forKey: session.epoch)
        if let other, other != session.pod {
            violates("epoch \(session.epoch) has pods \(other) and \(session.pod)")
        }
    }

    private static func session(in line: UnsafeRawBufferPointer) -> Session? {
        guard let text = self.field(" coap.session.id=", in: line) else { return nil }
        let parts = text.split(separator: "@", maxSplits: 1)
        guard parts.count == 2, let epoch = UInt64(parts[0]) else { return nil }
        return Session(epoch: epoch, pod: String(parts[1]))
    }

    /// What stands between the key and the next blank.
    private static func field(_ key: StaticString, in line: UnsafeRawBufferPointer) -> String? {
        guard let start = line.end(of: key) else { return nil }
        return String(decoding: line[start...].prefix { $0 != UInt8(ascii: " ") }, as: UTF8.self)
    }
}
