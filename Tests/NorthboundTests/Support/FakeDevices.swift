import Cloud
import CoAP
import Synchronization

/// Devices that answer by a script, behind the fence of a pod: a request for another user's device is not delivered.
final class FakeDevices: Responder, PresenceReader, SessionEnder {
    typealias Script = @Sendable (CoAP.Request, @escaping @Sendable (CoAP.Response) -> Void) -> Void

    private struct State {
        var owners: [String: String] = [:]
        var script: Script = { _, answer in answer(CoAP.Response(.content)) }
        var requests: [CoAP.Request] = []
        var ended: [String] = []
    }

    private let state = Mutex(State())

    /// Connects a device of a user.
    func connect(_ di: String, uid: String) {
        self.state.withLock { $0.owners[di] = uid }
    }

    /// What connected devices do.
    func script(_ script: @escaping Script) {
        self.state.withLock { $0.script = script }
    }

    func answer(_ response: CoAP.Response) {
        self.script { _, answer in answer(response) }
    }

    /// What reached a device.
    var requests: [CoAP.Request] { self.state.withLock { $0.requests } }
    /// `di reason` of each session that was ended.
    var ended: [String] { self.state.withLock { $0.ended } }

    func respond(to request: CoAP.Request, answer: @escaping @Sendable (CoAP.Response) -> Void) {
        let script: Script? = self.state.withLock { state in
            guard let owner = state.owners[request.options.path?.first ?? ""], owner == request.options.fence?.uid
            else { return nil }
            state.requests.append(request)
            return state.script
        }
        if let script {
            script(request, answer)
        } else {
            var response = CoAP.Response(.serviceUnavailable)
            response.options.undelivered = .noSession
            answer(response)
        }
    }

    func presence(of devices: [DeviceID]) async -> [DeviceID: Presence] {
        self.state.withLock { state in
            Dictionary(
                uniqueKeysWithValues: devices.map { di in
                    (
                        di,
                        state.owners[di.text] == nil ? .offline(since: nil) : .online(since: Timestamp(milliseconds: 0))
                    )
                })
        }
    }

    func end(_ devices: [DeviceID], reason: String) async {
        self.state.withLock { $0.ended += devices.map { "\($0) \(reason)" } }
    }
}
