/// Something that holds in every run, whatever was done to the cluster.
package struct CheckRule: Sendable, CustomStringConvertible {
    package let name: String
    /// What holds, as a sentence.
    package let sentence: String
    /// A run in which there is nothing to look at is as good as any other; else it shows nothing.
    package let mayBeIdle: Bool
    private let body: @Sendable (History, inout Finding) -> Void

    init(
        _ name: String, _ sentence: String, mayBeIdle: Bool = false,
        _ body: @escaping @Sendable (History, inout Finding) -> Void,
    ) {
        self.name = name
        self.sentence = sentence
        self.mayBeIdle = mayBeIdle
        self.body = body
    }

    package var description: String { self.name }

    /// - Parameter history: settled.
    package func check(_ history: History) -> Finding {
        var finding = Finding()
        self.body(history, &finding)
        return finding
    }

    /// What a rule found.
    package struct Finding: Sendable {
        /// How many requests, deliveries, devices or whatever the rule is about there were.
        package var looked = 0
        package private(set) var broken = 0
        /// The first of what is broken.
        package private(set) var violations: [Violation] = []

        package static let maximumKept = 10

        mutating func add(_ violation: @autoclosure () -> Violation) {
            self.broken += 1
            if self.violations.count < Self.maximumKept { self.violations.append(violation()) }
        }

        /// Of what was counted elsewhere, and is not here.
        mutating func add(uncounted: Int) {
            self.broken += uncounted
        }
    }

    package struct Violation: Sendable, Hashable, CustomStringConvertible {
        /// Since the run began, or as a log says it.
        var when: String
        var device: String?
        var mark: Int?
        var requestID: String?
        var problem: String

        init(at time: History.Time, in history: History, device: Int? = nil, _ problem: String) {
            self.when = "\((history.seconds(time) * 1000).rounded() / 1000) s"
            self.device = device.map { history.devices[$0].di }
            self.problem = problem
        }

        init(_ request: History.Request, in history: History, at time: History.Time? = nil, _ problem: String) {
            self.init(at: time ?? request.end, in: history, device: request.device, problem)
            self.mark = request.mark
            self.requestID = request.id
        }

        init(when: String, device: String, _ problem: String) {
            self.when = when
            self.device = device
            self.problem = problem
        }

        package var description: String {
            let about = [self.device, self.mark.map { "n=\($0)" }, self.requestID].compactMap(\.self)
            return "\(self.when)\(about.isEmpty ? "" : "  ")\(about.joined(separator: " ")): \(self.problem)"
        }
    }

    package static let all: [CheckRule] = [
        .planned, .deserved, .bystanders, .once, .rightDevice, .undelivered, .register, .epochs, .presence,
        .movedOnly, .offered, .allBack, .endedWell,
    ]
}
