package import CBOR
package import CoAP
import Synchronization

/// Answers what the cloud asks: the model behind a lock, each request reported.
package final class DeviceServer: Responder {
    private struct State {
        var model: DeviceModel
        var served = 0
    }

    private let state: Mutex<State>
    private let observer: @Sendable (DeviceEvent) -> Void

    package init(model: DeviceModel, observer: @escaping @Sendable (DeviceEvent) -> Void) {
        self.state = Mutex(State(model: model))
        self.observer = observer
    }

    package func respond(to request: Request, answer: @escaping @Sendable (Response) -> Void) {
        let response = self.state.withLock { state in
            state.served += 1
            return state.model.respond(to: request)
        }
        answer(response)
        self.observer(.served(request, response))
    }

    /// How many requests were answered.
    package var served: Int { self.state.withLock { $0.served } }

    package var resources: [DeviceResource] { self.state.withLock { $0.model.resources } }

    /// See `DeviceModel.set`.
    package func set(_ href: String, _ values: [Command.Assignment]) throws(PropertyError) -> DataItem {
        let result = self.state.withLock { state in
            Result { () throws(PropertyError) in try state.model.set(href, values) }
        }
        return try result.get()
    }
}
