import CBOR
import Cloud
import CoAP
import NIOCore
import OCF
import Synchronization

@testable import Edge

/// Answers each request with the next line of its script, and keeps what it was asked.
final class ScriptedResponder: Responder {
    enum Line: Sendable {
        case answer(Response)
        /// Answers only when `release` is called.
        case hold
    }

    private struct State {
        var script: [Line]
        var requests: [Request] = []
        var held: [@Sendable (Response) -> Void] = []
    }

    private let state: Mutex<State>

    init(_ script: Line...) {
        self.state = Mutex(State(script: script))
    }

    var requests: [Request] { self.state.withLock { $0.requests } }

    func respond(to request: Request, answer: @escaping @Sendable (Response) -> Void) {
        let line: Line? = self.state.withLock { state in
            state.requests.append(request)
            return state.script.isEmpty ? nil : state.script.removeFirst()
        }
        switch line {
        case .answer(let response): answer(response)
        case .hold: self.state.withLock { $0.held.append(answer) }
        case nil: answer(Response(.internalServerError, diagnostic: "nothing is left in the script"))
        }
    }

    func release(_ response: Response) {
        let held = self.state.withLock { state in
            defer { state.held = [] }
            return state.held
        }
        for answer in held { answer(response) }
    }
}

extension Response {
    static func undelivered(_ reason: Undelivered, _ code: Code = .serviceUnavailable) -> Response {
        var response = Response(code, diagnostic: "undelivered", maxAge: 10)
        response.options.undelivered = reason
        return response
    }

    static func unknown(_ outcome: UnknownOutcome) -> Response {
        var response = Response(outcome == .noAnswer ? .gatewayTimeout : .badGateway, diagnostic: "unknown")
        response.options.unknownOutcome = outcome
        return response
    }

    static let on = Response(.content, payload: ByteBuffer(string: "on"))
}

/// An edge between two scripts.
struct EdgeBench {
    let pods: ScriptedResponder
    let registry: ScriptedResponder
    let edge: EdgeResponder

    /// - Parameter owner: who owns the device, as the registry has it; nil if it knows none.
    init(_ pods: ScriptedResponder, owner: String? = nil, kind: DeviceKind = .device) throws {
        var answer = Response(.notFound)
        if let owner {
            let device = Device(
                di: try DeviceID("lamp"), uid: try UserID(owner), kind: kind,
                createdAt: Timestamp(milliseconds: 0))
            answer = Negotiation.ocf.response(.content, device.item)
        }
        self.init(pods, registry: ScriptedResponder(.answer(answer), .answer(answer)))
    }

    init(_ pods: ScriptedResponder, registry: ScriptedResponder) {
        self.pods = pods
        self.registry = registry
        self.edge = EdgeResponder(pods: pods, registry: RegistryClient(registry, caller: "edge"))
    }

    /// A request to the lamp on behalf of alice.
    static func request(_ method: Code = .get, _ path: String..., queries: [String] = []) -> Request {
        var request = Request(method, path: ["lamp"] + path, queries: queries)
        request.options.fence = Fence(uid: "alice")
        request.options.requestID = "r-1"
        return request
    }

    func ask(_ request: Request = Self.request(.get, "light")) async -> Response {
        await self.edge.respond(to: request)
    }
}
