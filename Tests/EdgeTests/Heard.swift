import CoAP
import NIOCore
import Synchronization

@testable import Edge

/// What one observer was told.
final class Heard: Sendable {
    private let state = Mutex<[ObservationEvent]>([])
    var all: [ObservationEvent] { self.state.withLock { $0 } }
    func add(_ event: ObservationEvent) { self.state.withLock { $0.append(event) } }
}

extension EdgeBench {
    /// Begins an observation of the lamp's light.
    /// - Parameter query: another one makes it another observation.
    @discardableResult
    func observe(_ heard: Heard, query: Int? = nil) async -> ObservationHandle {
        await self.observe(Self.registration(query: query), heard)
    }

    @discardableResult
    func observe(_ request: Request, _ heard: Heard) async -> ObservationHandle {
        let handle = self.edge.observe(request) { heard.add($0) }
        await self.run()
        return handle
    }

    static func registration(query: Int? = nil, uid: String = "alice") -> Request {
        var request = Self.request(.get, "light", queries: query.map { ["n=\($0)"] } ?? [], uid: uid)
        request.options.observe = 0
        return request
    }

    /// A pod says something to whoever registered there last.
    func tell(_ event: ObservationEvent) async {
        self.pods.registrations.last?.tell(event)
        await self.run()
    }
}

extension ObservationEvent {
    var response: Response {
        switch self {
        case .notified(let response), .ended(let response): response
        }
    }

    var code: Code { self.response.code }
    var undelivered: Undelivered? { self.response.options.undelivered }
    var unknownOutcome: UnknownOutcome? { self.response.options.unknownOutcome }

    var isEnd: Bool {
        if case .ended = self { true } else { false }
    }
}
