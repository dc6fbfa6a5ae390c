// What became of a request, as docs/errors.md has it.

extension History.Request {
    /// Not the device has answered, and the gateway is to blame.
    package var isFailed: Bool {
        if self.isDeserved { return false }
        return self.answeredBy == nil || self.problem != nil
    }

    /// A 4xx that is no fault of the gateway: the device itself refused. The traffic asks nothing that is wrong, and
    /// not more than an owner may while nothing is the matter.
    package var isDeserved: Bool {
        guard let problem = self.problem, (400..<500).contains(self.status) else { return false }
        return Self.deserved.contains(problem)
    }

    /// The answer says that the device did not get the request.
    package var isUndelivered: Bool {
        guard let problem = self.problem else { return self.status == 503 && self.answeredBy == nil }
        return Self.undelivered.contains(problem)
    }

    package var isSuccess: Bool { (200..<300).contains(self.status) }

    /// Of a failed one, for tables.
    package var outcome: String {
        if let broken = self.broken { return broken }
        if let problem = self.problem { return "\(self.status) \(problem)" }
        return self.status == 0 ? "no answer" : "\(self.status) not of the device"
    }

    private static let deserved: Set<String> = ["/errors#device-answer"]

    private static let undelivered: Set<String> = [
        "/errors#offline", "/errors#signed-out", "/errors#moving", "/errors#device-busy", "/errors#overloaded",
        "/errors#unavailable", "/errors#routes-unavailable", "/errors#keys-unavailable", "/errors#key-in-use",
        "/errors#key-reused", "/errors#too-many-keys", "/errors#too-many-requests", "/errors#too-many-in-flight",
        "/errors#body-too-large", "/errors#unknown-device", "/errors#not-yours", "/errors#unauthorized",
    ]
}
