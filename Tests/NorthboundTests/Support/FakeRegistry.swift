import CBOR
import Cloud
import CoAP
import OCF
import Synchronization

@testable import Northbound

/// A registry in memory that keeps no rule but who is who: what the northbound adds to it is under test, not it.
final class FakeRegistry: RegistryAccess {
    struct State {
        var principals: [String: Principal] = [:]
        var devices: [DeviceID: Device] = [:]
        var users: Set<UserID> = []
        /// Whose a mediator is, by its id.
        var mediators: [String: UserID] = ["0123456789abcdef": UserID(stored: "alice")]
        var count = 0
        /// One line a call: what was asked for, and the request id it came with.
        var calls: [String] = []
        var failure: RegistryError?
    }

    let state = Mutex(State())

    var calls: [String] { self.state.withLock { $0.calls } }
    /// The calls that change something.
    var changes: [String] { self.calls.filter { !$0.hasPrefix("get ") } }

    func fail(_ error: RegistryError?) {
        self.state.withLock { $0.failure = error }
    }

    func add(_ kind: Principal.Kind, _ token: String, uid: String, di: String? = nil) {
        let di = di.map { DeviceID(stored: $0) }
        self.state.withLock { state in
            let uid = UserID(stored: uid)
            state.users.insert(uid)
            state.principals[token] = Principal(kind: kind, uid: uid, di: di, expiresAt: nil)
            let deviceKind: DeviceKind? =
                switch kind {
                case .client: .client
                case .device: .device
                case .user, .mediator: nil
                }
            if let di, let deviceKind {
                state.devices[di] = Device(
                    di: di, uid: uid, kind: deviceKind, name: "name of \(di)", createdAt: Timestamp(milliseconds: 0))
            }
        }
    }

    func remove(_ di: String) {
        self.state.withLock { $0.devices[DeviceID(stored: di)] = nil }
    }

    private func note<Value: Sendable>(
        _ what: String, _ call: Call, _ body: (inout State) throws(RegistryError) -> Value
    ) throws(RegistryError) -> Value {
        let result: Result<Value, RegistryError> = self.state.withLock { state in
            state.calls.append("\(what) \(call.requestID)")
            if let failure = state.failure { return .failure(failure) }
            do throws(RegistryError) {
                return .success(try body(&state))
            } catch {
                return .failure(error)
            }
        }
        return try result.get()
    }

    private static func fresh(_ prefix: String, _ state: inout State) -> Secret {
        state.count += 1
        // Never longer than a secret may be, nor empty.
        return Secret("\(prefix)-\(state.count)")!
    }

    func registerUser(_ uid: UserID, authProvider: String, call: Call) async throws(RegistryError) -> Secret {
        try self.note("register \(uid) \(authProvider)", call) { state throws(RegistryError) in
            guard state.users.insert(uid).inserted else { throw RegistryError(.conflict, "there is one") }
            let token = Self.fresh("user", &state)
            state.principals[token.reveal()] = Principal(kind: .user, uid: uid, di: nil, expiresAt: nil)
            return token
        }
    }

    func provisionMediator(uid: UserID, userToken: Secret, call: Call) async throws(RegistryError) -> Secret {
        try self.note("mediator \(uid)", call) { state throws(RegistryError) in
            guard state.principals[userToken.reveal()]?.uid == uid else {
                throw RegistryError(.unauthorized, "the access token is unknown", field: "accesstoken")
            }
            let token = Self.fresh("mediator", &state)
            state.principals[token.reveal()] = Principal(kind: .mediator, uid: uid, di: nil, expiresAt: nil)
            return token
        }
    }

    func provisionCode(
        kind: DeviceKind, di: DeviceID?, mediatorToken: Secret, call: Call
    ) async throws(RegistryError) -> Secret {
        try self.note("code \(kind) \(di?.text ?? "-")", call) { state throws(RegistryError) in
            Self.fresh("code", &state)
        }
    }

    func signUp(
        di: DeviceID, code: Secret, authProvider: String?, call: Call
    ) async throws(RegistryError) -> Credentials {
        try self.note("signup \(di)", call) { state throws(RegistryError) in
            guard code.reveal().hasPrefix("code-") else { throw RegistryError(.unauthorized, "the code is unknown") }
            return Self.credentials(UserID(stored: "alice"), di, &state)
        }
    }

    func refresh(
        uid: UserID, di: DeviceID, refreshToken: Secret, call: Call
    ) async throws(RegistryError) -> Credentials {
        try self.note("refresh \(uid) \(di)", call) { state throws(RegistryError) in
            Self.credentials(uid, di, &state)
        }
    }

    private static func credentials(_ uid: UserID, _ di: DeviceID, _ state: inout State) -> Credentials {
        let access = Self.fresh("access", &state)
        state.principals[access.reveal()] = Principal(kind: .client, uid: uid, di: di, expiresAt: nil)
        return Credentials(
            accessToken: access, refreshToken: Self.fresh("refresh", &state), expiresIn: 6000, uid: uid)
    }

    func principal(for token: Secret, call: Call) async throws(RegistryError) -> Principal? {
        try self.note("get principal", call) { $0.principals[token.reveal()] }
    }

    func device(_ di: DeviceID, call: Call) async throws(RegistryError) -> Device? {
        try self.note("get device \(di)", call) { $0.devices[di] }
    }

    func devices(
        of uid: UserID, kind: DeviceKind?, after: DeviceID?, limit: Int, call: Call
    ) async throws(RegistryError) -> [Device] {
        try self.note("get devices of \(uid)", call) { state in
            let mine = state.devices.values.filter { device in
                device.uid == uid && (kind == nil || device.kind == kind) && after.map { device.di > $0 } ?? true
            }
            return Array(mine.sorted { $0.di < $1.di }.prefix(limit))
        }
    }

    func links(
        of uid: UserID, request: DiscoveryRequest, endpoint: String?, call: Call
    ) async throws(RegistryError) -> DataItem {
        try self.note("get links of \(uid) di=\(request.devices) rt=\(request.resourceTypes)", call) { state in
            let mine = state.devices.values.filter { $0.uid == uid }.map(\.di).sorted()
            return .array(
                mine.filter { request.deviceFilter?.contains($0) ?? true }.map { di in
                    .map(["href": .text("/\(di)/light")])
                })
        }
    }

    func deleteUser(_ uid: UserID, call: Call) async throws(RegistryError) -> [DeviceID] {
        try self.note("delete user \(uid)", call) { state in
            state.principals = state.principals.filter { $0.value.uid != uid }
            let gone = state.devices.values.filter { $0.uid == uid }.map(\.di).sorted()
            for di in gone { state.devices[di] = nil }
            return gone
        }
    }

    func mediators(of uid: UserID, call: Call) async throws(RegistryError) -> [Mediator] {
        try self.note("get mediators of \(uid)", call) { state in
            state.mediators.filter { $0.value == uid }.keys.sorted().map {
                Mediator(id: $0, createdAt: Timestamp(milliseconds: 0), lastUsed: nil)
            }
        }
    }

    func deleteMediator(_ id: String, of uid: UserID, call: Call) async throws(RegistryError) {
        try self.note("delete mediator \(id)", call) { state throws(RegistryError) in
            guard state.mediators[id] == uid else { throw RegistryError(.notFound, "there is none") }
            state.mediators[id] = nil
        }
    }

    func deleteClient(_ di: DeviceID, of uid: UserID, call: Call) async throws(RegistryError) -> [DeviceID] {
        try self.note("delete client \(di)", call) { state in
            state.devices.removeValue(forKey: di).map { [$0.di] } ?? []
        }
    }

    func deleteDevice(_ di: DeviceID, of uid: UserID, call: Call) async throws(RegistryError) -> [DeviceID] {
        try self.note("delete device \(di)", call) { state in
            state.devices.removeValue(forKey: di).map { [$0.di] } ?? []
        }
    }
}
