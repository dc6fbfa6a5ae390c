import Cloud
import CoAP
import HTTPTypes
import NIOCore
import OCF
import ServiceShell

// Requests to devices.
extension NorthboundResponder {
    /// Hands the request to the edge: the fence lets it through only to a device of the uid it names. Where nobody got
    /// it, the code says why: 4.04 for a device nobody knows, 4.03 for somebody else's.
    func askDevice(_ scope: inout RequestScope) async throws -> HTTPAnswer {
        let principal = try scope.authenticated()
        guard let di = try? DeviceID(scope.parameters.named["di"] ?? "") else {
            throw self.wrongDevice(Problem(.unknownDevice), principal)
        }
        scope.device = di
        if Self.wantsStored(scope) { return try await self.storedState(&scope) }
        let isStream = Self.wantsEvents(scope)
        var fields = scope.fields
        if isStream {
            // Each event is a whole representation, in JSON.
            fields[.accept] = nil
            fields[.ifNoneMatch] = nil
        }
        let body = try await self.body(of: scope)
        let keyed = try Self.keyed(scope, body: body)
        var exchange = try DeviceExchange(
            DeviceHTTPRequest(
                method: scope.method, device: di, segments: scope.parameters.rest, queries: scope.target.queries,
                fields: fields, body: body))
        exchange.request.options.fence = Fence(uid: principal.uid.text)
        exchange.request.options.requestID = scope.id
        // RFC 9110 §9.2.2. What the device gets is a POST, which says nothing about that.
        exchange.request.options.isIdempotent = scope.method == .put
        if isStream, scope.method == .get {
            exchange.request.options.deadlineMilliseconds = UInt32(clamping: scope.remaining.clampedMilliseconds)
            return try await self.observeDevice(exchange, &scope)
        }
        guard let keyed else { return try await self.deliver(exchange, &scope) }
        return try await self.once(keyed, &scope) { scope in try await self.deliver(exchange, &scope) }
    }

    private func deliver(_ exchange: DeviceExchange, _ scope: inout RequestScope) async throws -> HTTPAnswer {
        var exchange = exchange
        exchange.request.options.deadlineMilliseconds = UInt32(clamping: scope.remaining.clampedMilliseconds)
        let answer = await self.awaited.answer(
            to: exchange.request, from: self.devices, until: scope.deadline + Self.patience)
        guard let answer else {
            scope.delivery = .unknown
            throw Problem(.noAnswer)
        }
        let result = try self.answer(answer, to: exchange, &scope)
        return Self.wantsEvents(scope) && result.status == 200 ? Self.streamHead : result
    }

    /// What the client gets for an answer.
    ///
    /// - Throws: the problem, where nobody got the request, nobody knows what became of it, or the device told it in
    ///   words.
    func answer(
        _ answer: CoAP.Response, to exchange: DeviceExchange, _ scope: inout RequestScope
    ) throws(Problem) -> HTTPAnswer {
        if answer.options.undelivered != nil { scope.delivery = .undelivered }
        if answer.options.unknownOutcome != nil { scope.delivery = .unknown }
        if let problem = Problem(undelivered: answer) {
            switch problem.kind {
            case .unknownDevice, .notYours: throw self.wrongDevice(problem, try scope.authenticated())
            default: throw problem
            }
        }
        return try HTTPAnswer(device: answer, to: exchange)
    }

    /// How long after the deadline an answer is still waited for: whoever is asked knows better what happened.
    static var patience: Duration { .milliseconds(500) }
}
