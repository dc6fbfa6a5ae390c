import CoAP

extension Request {
    /// The same request with what is left of its deadline; nil if nothing is left.
    func later(by elapsed: Duration) -> Request? {
        guard let milliseconds = self.options.deadlineMilliseconds else { return self }
        let left = Duration.milliseconds(milliseconds) - elapsed
        let (seconds, attoseconds) = left.components
        guard left > .zero, let rest = UInt32(exactly: seconds * 1000 + attoseconds / 1_000_000_000_000_000) else {
            return nil
        }
        var request = self
        request.options.deadlineMilliseconds = rest
        return request
    }
}

extension Response {
    /// The request's time was over before the registry was asked.
    static var late: Response {
        var response = Response(
            .serviceUnavailable, diagnostic: "the deadline passed before the registry was asked: try again", maxAge: 1)
        response.options.undelivered = .late
        return response
    }
}
