package import CBOR
package import Cloud
package import OCF

/// What the northbound asks the registry: `RegistryClient`, or a scripted one in tests. The methods are the client's.
package protocol RegistryAccess: Sendable {
    typealias Call = RegistryClient.Call

    func registerUser(_ uid: UserID, authProvider: String, call: Call) async throws(RegistryError) -> Secret
    func provisionMediator(uid: UserID, userToken: Secret, call: Call) async throws(RegistryError) -> Secret
    func provisionCode(
        kind: DeviceKind, di: DeviceID?, mediatorToken: Secret, call: Call
    ) async throws(RegistryError) -> Secret
    func signUp(
        di: DeviceID, code: Secret, authProvider: String?, call: Call
    ) async throws(RegistryError) -> Credentials
    func refresh(
        uid: UserID, di: DeviceID, refreshToken: Secret, call: Call
    ) async throws(RegistryError) -> Credentials
    func principal(for token: Secret, call: Call) async throws(RegistryError) -> Principal?
    func device(_ di: DeviceID, call: Call) async throws(RegistryError) -> Device?
    func devices(
        of uid: UserID, kind: DeviceKind?, after: DeviceID?, limit: Int, call: Call
    ) async throws(RegistryError) -> [Device]
    func links(
        of uid: UserID, request: DiscoveryRequest, endpoint: String?, call: Call
    ) async throws(RegistryError) -> DataItem
    func mediators(of uid: UserID, call: Call) async throws(RegistryError) -> [Mediator]
    func deleteMediator(_ id: String, of uid: UserID, call: Call) async throws(RegistryError)
    func deleteUser(_ uid: UserID, call: Call) async throws(RegistryError) -> [DeviceID]
    func deleteClient(_ di: DeviceID, of uid: UserID, call: Call) async throws(RegistryError) -> [DeviceID]
    func deleteDevice(_ di: DeviceID, of uid: UserID, call: Call) async throws(RegistryError) -> [DeviceID]
}

extension RegistryClient: RegistryAccess {}
