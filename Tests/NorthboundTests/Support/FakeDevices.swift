import Cloud
import CoAP
import Synchronization

/// Devices that answer by a script, behind an edge: what is not delivered says by its code whose device it is.
final class FakeDevices: Responder, PresenceReader, SessionEnder {
    typealias Script = @Sendable (CoAP.Request, @escaping @Sendable (CoAP.Response) -> Void) -> Void

    private struct State {
        var owners: [String: String] = [:]
        /// Devices that are registered, and not connected.
        var offline: [String: String] = [:]
        var script: Script = { _, answer in answer(CoAP.Response(.content)) }
        var requests: [CoAP.Request] = []
        var ended: [String] = []
        var observers: [UInt64: @Sendable (ObservationEvent) -> Void] = [:]
        var observed: UInt64 = 0
        var isObservable = false
    }

    private let state = Mutex(State())

    /// Connects a device of a user.
    func connect(_ di: String, uid: String) {
        self.state.withLock { $0.owners[di] = uid }
    }

    /// Registers a device that is not connected.
    func register(_ di: String, uid: String) {
        self.state.withLock { $0.offline[di] = uid }
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
        let di = request.options.path?.first ?? ""
        let uid = request.options.fence?.uid
        let (script, code): (Script?, Code) = self.state.withLock { state in
            guard let owner = state.owners[di] ?? state.offline[di] else { return (nil, .notFound) }
            guard owner == uid else { return (nil, .forbidden) }
            guard state.offline[di] == nil else { return (nil, .serviceUnavailable) }
            state.requests.append(request)
            return (state.script, .content)
        }
        if let script {
            script(request, answer)
        } else {
            var response = CoAP.Response(code)
            response.options.undelivered = .noSession
            answer(response)
        }
    }

    /// Whether resources can be observed: the script's answer is then the first notification.
    func makeObservable() {
        self.state.withLock { $0.isObservable = true }
    }

    /// Tells everybody who observes, and forgets them if it is the end.
    func tell(_ event: ObservationEvent) {
        let observers = self.state.withLock { state in
            defer { if case .ended = event { state.observers = [:] } }
            return Array(state.observers.values)
        }
        for observer in observers { observer(event) }
    }

    var observations: Int { self.state.withLock { $0.observers.count } }

    func observe(
        _ request: CoAP.Request, event: @escaping @Sendable (ObservationEvent) -> Void
    ) -> ObservationHandle {
        let id = self.state.withLock { state in
            state.observed += 1
            return state.observed
        }
        self.respond(to: request) { response in
            let isObserved = self.state.withLock { state in
                guard state.isObservable, response.code.isSuccess else { return false }
                state.observers[id] = event
                return true
            }
            event(isObserved ? .notified(response) : .ended(response))
        }
        return ObservationHandle { self.state.withLock { $0.observers[id] = nil } }
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
