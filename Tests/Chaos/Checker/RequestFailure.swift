// What became of a request, as docs/errors.md has it.

extension History.Request {
    /// Not the device has answered. No 4xx is deserved either: the traffic asks nothing that a light refuses.
    package var isFailed: Bool {
        self.answeredBy == nil || self.problem != nil
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

    private static let undelivered: Set<String> = [
        "/errors#offline", "/errors#signed-out", "/errors#moving", "/errors#device-busy", "/errors#overloaded",
        "/errors#unavailable", "/errors#routes-unavailable", "/errors#keys-unavailable", "/errors#key-in-use",
        "/errors#key-reused", "/errors#too-many-keys", "/errors#too-many-requests", "/errors#too-many-in-flight",
        "/errors#body-too-large", "/errors#unknown-device", "/errors#not-yours", "/errors#unauthorized",
    ]
}
