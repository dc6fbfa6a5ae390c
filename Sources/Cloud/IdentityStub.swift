extension Identity {
    package func registerUser(_ uid: UserID, authProvider: String) async throws(CloudError) -> Secret { try self.todo() }
    package func provisionMediator(uid: UserID, userToken: Secret) async throws(CloudError) -> Secret { try self.todo() }
    package func provisionCode(
        kind: DeviceKind, di: DeviceID?, mediatorToken: Secret
    ) async throws(CloudError) -> Secret { try self.todo() }
    package func signUp(
        di: DeviceID, code: Secret, authProvider: String?
    ) async throws(CloudError) -> Credentials { try self.todo() }
    package func signIn(uid: UserID, di: DeviceID, accessToken: Secret) async throws(CloudError) -> SignedIn {
        try self.todo()
    }
    package func refresh(
        uid: UserID, di: DeviceID, refreshToken: Secret, certificateMatches: Bool = false
    ) async throws(CloudError) -> Credentials { try self.todo() }
    package func principal(for token: Secret) async throws(CloudError) -> Principal? { try self.todo() }
    /// Returns whose live sessions must end.
    package func signOff(
        di: DeviceID?, uid: UserID?, accessToken: Secret?, session: (uid: UserID, di: DeviceID)?
    ) async throws(CloudError) -> [DeviceID] { try self.todo() }
    package func deleteUser(_ uid: UserID) async throws(CloudError) -> [DeviceID] { try self.todo() }
    package func deleteClient(_ di: DeviceID, of uid: UserID) async throws(CloudError) -> [DeviceID] { try self.todo() }
    package func deleteDevice(_ di: DeviceID, of uid: UserID) async throws(CloudError) -> [DeviceID] { try self.todo() }
    /// Returns how many rows went.
    package func sweep() async throws(CloudError) -> Int { try self.todo() }
    private func todo<R>() throws(CloudError) -> R { throw CloudError(.unavailable, "not there yet") }
}
