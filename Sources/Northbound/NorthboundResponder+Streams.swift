import Cloud
import CoAP
import HTTPTypes
import NIOCore
import OCF
import ServiceShell

// Answers that go on: what a resource becomes, and what happens to the owner's devices.
extension NorthboundResponder {
    /// Whether the client asks to be told of changes: `text/event-stream` is no type any device could answer with.
    static func wantsEvents(_ scope: RequestScope) -> Bool {
        guard scope.method == .get || scope.method == .head else { return false }
        return scope.fields[values: .accept].flatMap { $0.split(separator: ",") }.prefix(64).contains { range in
            guard let media = MediaType(range), media.essence == "text/event-stream" else { return false }
            return media.parameters["q"].flatMap { Double($0) } != 0
        }
    }

    /// Observes a resource of a device. What goes wrong before the first representation is an ordinary answer.
    func observeDevice(_ exchange: DeviceExchange, _ scope: inout RequestScope) async throws -> HTTPAnswer {
        let principal = try scope.authenticated()
        let place = try self.streams.enter(principal)
        let mailbox = place.mailbox
        var request = exchange.request
        // RFC 7641 §2: 0 registers.
        request.options.observe = 0
        let observation = Observation(self.devices.observe(request) { mailbox.put($0) })
        let timer = scope.channel.eventLoop.scheduleTask(in: TimeAmount(scope.remaining + Self.patience)) {
            mailbox.finish(.late)
        }
        let first = await mailbox.next()
        timer.cancel()
        switch first {
        case .notified(let response):
            _ = try self.answer(response, to: exchange, &scope)
        case .ended(let response):
            let answer = try self.answer(response, to: exchange, &scope)
            guard (200...299).contains(answer.status) else { return answer }
        case .over(.quiescing), .over(.disconnected):
            throw Problem(.overloaded, retryAfter: 1)
        case .over(.unauthorized):
            throw Problem(.unauthorized)
        case .over(.late), .news, .heartbeat:
            scope.delivery = .unknown
            throw Problem(.noAnswer)
        }
        return self.stream(
            ObservationSource(exchange: exchange, observation: observation, requestID: scope.id, first: first),
            place, scope)
    }

    /// The owner's events from Last-Event-ID, or `after`, or now on.
    func followEvents(_ scope: RequestScope) throws(Problem) -> HTTPAnswer {
        let principal = try scope.authenticated()
        guard scope.method == .get else { return Self.streamHead }
        let place = try self.streams.enter(principal, followsLog: true)
        let resumed = scope.fields[Self.lastEventID] ?? scope.target.values("after").first
        return self.stream(
            OwnerEventSource(
                log: self.events, uid: principal.uid, resumed: resumed.flatMap { $0.isEmpty ? nil : $0 },
                loop: scope.channel.eventLoop, mailbox: place.mailbox, metrics: self.metrics),
            place, scope)
    }

    private static let lastEventID = fieldName("Last-Event-ID")

    /// What HEAD gets, and the begin of every stream.
    static var streamHead: HTTPAnswer {
        var answer = HTTPAnswer(status: 200)
        answer.fields[.contentType] = "text/event-stream"
        answer.fields[.cacheControl] = "no-store"
        // What nginx understands: pass every event on at once.
        answer.fields[fieldName("X-Accel-Buffering")] = "no"
        return answer
    }

    private func stream(_ source: any StreamSource, _ place: StreamPlace, _ scope: RequestScope) -> HTTPAnswer {
        let times = EventStream.Times(
            heartbeat: self.configuration.streamHeartbeat, patience: self.configuration.streamPatience)
        let (registry, token, id) = (self.registry, scope.token, scope.id)
        var answer = Self.streamHead
        answer.stream = EventStream(source, place: place, scope: scope, times: times, metrics: self.metrics) {
            guard let token else { return false }
            let call = RegistryClient.Call(requestID: id, deadline: Self.recheck)
            do throws(RegistryError) {
                return try await registry.principal(for: token, call: call) != nil
            } catch {
                // A registry that cannot answer takes nobody's right.
                return true
            }
        }
        return answer
    }

    /// How long the registry may take to say that a token is still good.
    private static var recheck: Duration { .seconds(5) }
}
