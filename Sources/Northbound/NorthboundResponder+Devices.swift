import Cloud
import CoAP
import HTTPTypes
import NIOCore
import OCF
import ServiceShell
import Synchronization

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
        guard let answer = await self.ask(exchange.request, scope) else {
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

    /// The answer, nil when there is none shortly after the deadline. A later one falls to the ground: nobody waits
    /// for it any more, least of all the next request.
    private func ask(_ request: CoAP.Request, _ scope: RequestScope) async -> CoAP.Response? {
        let first = FirstAnswer()
        let patience = scope.remaining + Self.patience
        return await withCheckedContinuation { continuation in
            first.await(continuation)
            let timer = scope.channel.eventLoop.scheduleTask(in: TimeAmount(patience)) { first.resume(nil) }
            self.devices.respond(to: request) { answer in
                timer.cancel()
                first.resume(answer)
            }
        }
    }

    /// How long after the deadline an answer is still waited for: whoever is asked knows better what happened.
    static var patience: Duration { .milliseconds(500) }
}

/// Resumes its continuation with what comes first, and forgets the rest.
private final class FirstAnswer: Sendable {
    private let waiting = Mutex<CheckedContinuation<CoAP.Response?, Never>?>(nil)

    func await(_ continuation: CheckedContinuation<CoAP.Response?, Never>) {
        self.waiting.withLock { $0 = continuation }
    }

    func resume(_ answer: CoAP.Response?) {
        let continuation = self.waiting.withLock { waiting in
            defer { waiting = nil }
            return waiting
        }
        continuation?.resume(returning: answer)
    }
}
