import CoAP
import Synchronization

/// A responder that one may stop waiting for: one task asks it, one question after the other.
final class ImpatientResponder: Responder {
    private let transport: any Responder
    private let pending = Mutex<(id: UInt64, answer: (@Sendable (Response) -> Void)?)>((0, nil))

    init(_ transport: any Responder) {
        self.transport = transport
    }

    func respond(to request: Request, answer: @escaping @Sendable (Response) -> Void) {
        let id = self.pending.withLock { pending in
            pending = (pending.id + 1, answer)
            return pending.id
        }
        self.transport.respond(to: request) { self.settle($0, id: id) }
    }

    /// - Parameter id: nil: whatever is asked at the moment.
    private func settle(_ response: Response, id: UInt64?) {
        let answer = self.pending.withLock { pending -> (@Sendable (Response) -> Void)? in
            guard id == nil || id == pending.id else { return nil }
            defer { pending.answer = nil }
            return pending.answer
        }
        answer?(response)
    }

    /// Runs `body`, which asks this responder once. After `deadline`, or when the task is cancelled, it gets 5.04.
    func bounded<Value: Sendable>(_ deadline: Duration, _ body: () async -> Value) async -> Value {
        await withTaskGroup(of: Void.self) { group in
            group.addTask {
                // Cancelled when the answer came, or when nobody wants it any more.
                try? await Task.sleep(for: deadline)
                self.settle(Self.late, id: nil)
            }
            let value = await body()
            group.cancelAll()
            return value
        }
    }

    private static let late: Response = {
        var response = Response(.gatewayTimeout, diagnostic: "the registry did not answer in time")
        response.options.unknownOutcome = .noAnswer
        return response
    }()
}
