import CBOR
import CoAP
import FoundationEssentials
import HTTPTypes
import NIOCore
import OCF

/// The representations of one resource, the newest first of all.
struct ObservationSource: StreamSource {
    let exchange: DeviceExchange
    let observation: Observation
    let requestID: String
    /// What came before the stream was begun.
    let first: StreamSignal

    mutating func begin() async -> StreamStep { await self.hear(self.first) }

    mutating func hear(_ signal: StreamSignal) async -> StreamStep {
        switch signal {
        case .notified(let response): self.notified(response)
        case .ended(let response): self.ended(response)
        case .news, .heartbeat, .over: StreamStep()
        }
    }

    private func notified(_ response: CoAP.Response) -> StreamStep {
        do throws(Problem) {
            return StreamStep(bytes: Self.notification(try HTTPAnswer(device: response, to: self.exchange)).bytes)
        } catch {
            self.observation.cancel()
            return self.end(error)
        }
    }

    private func ended(_ response: CoAP.Response) -> StreamStep {
        if let problem = Problem(undelivered: response) { return self.end(problem) }
        guard response.code.isSuccess else { return self.end(Problem(deviceAnswer: response, to: self.exchange)) }
        var step = self.notified(response)
        guard case .wait = step.next else { return step }
        ServerSentEvent.end(Problem(.notObservable), requestID: self.requestID).write(to: &step.bytes)
        step.next = .end
        return step
    }

    private func end(_ problem: Problem) -> StreamStep {
        StreamStep(bytes: ServerSentEvent.end(problem, requestID: self.requestID).bytes, next: .end)
    }

    /// JSON as a GET would answer it; what is none is told in JSON, with its type.
    private static func notification(_ answer: HTTPAnswer) -> ServerSentEvent {
        let type = answer.fields[.contentType] ?? ""
        if answer.status == 200, type == "application/json" {
            return ServerSentEvent(name: "notification", data: answer.body)
        }
        var members: [DataItem.Pair] = [.init("status", DataItem(integer: Int64(answer.status)))]
        if !type.isEmpty {
            members.append(.init("type", .text(type)))
            if type.hasPrefix("text/"), let text = String(validating: answer.body.readableBytesView, as: UTF8.self) {
                members.append(.init("text", .text(text)))
            } else {
                members.append(.init("base64", .text(Data(answer.body.readableBytesView).base64EncodedString())))
            }
        }
        return ServerSentEvent(name: "notification", data: Transcoding.json(.map(members)))
    }
}

/// An observation that is withdrawn when nobody holds it any more.
final class Observation: Sendable {
    private let handle: ObservationHandle

    init(_ handle: ObservationHandle) {
        self.handle = handle
    }

    func cancel() { self.handle.cancel() }

    deinit { self.handle.cancel() }
}
