package import CBOR
package import Cloud
package import CoAP

/// The registry as our other programs see it, behind the one seam: in this process or across a connection.
///
/// Every method makes one request and throws `RegistryError` for every answer but the expected one. 4.01 means that a
/// token is no good, 5.03 that the registry or its store cannot answer now.
package struct RegistryClient: Sendable {
    /// On whose behalf and until when one call is made.
    package struct Call: Hashable, Sendable {
        /// Goes with the request into the registry's log.
        package var requestID: String
        /// How long the registry may take, from now.
        package var deadline: Duration

        package init(requestID: String, deadline: Duration) {
            self.requestID = requestID
            self.deadline = deadline
        }
    }

    private let responder: any Responder
    private let caller: String

    /// - Parameter caller: which of our programs asks.
    package init(_ responder: any Responder, caller: String = "northbound") {
        self.responder = responder
        self.caller = caller
    }

    // MARK: Registration and provisioning

    /// A new user and his token. 4.09 when there is one of that id.
    package func registerUser(
        _ uid: UserID, authProvider: String, call: Call
    ) async throws(RegistryError) -> Secret {
        try await self.token(
            RegistryProtocol.users, UserRegistration(uid: uid, authProvider: authProvider).item, call)
    }

    package func provisionMediator(uid: UserID, userToken: Secret, call: Call) async throws(RegistryError) -> Secret {
        try await self.token(RegistryProtocol.mediators, MediatorProvision(uid: uid, userToken: userToken).item, call)
    }

    /// A one-time code. Without a `di` it binds to the first that exchanges it.
    package func provisionCode(
        kind: DeviceKind, di: DeviceID?, mediatorToken: Secret, call: Call
    ) async throws(RegistryError) -> Secret {
        try await self.token(
            RegistryProtocol.codes, CodeProvision(kind: kind, di: di, mediatorToken: mediatorToken).item, call)
    }

    // MARK: Sign-up and refresh

    /// Exchanges a one-time code, through `oic/sec/account`.
    package func signUp(
        di: DeviceID, code: Secret, authProvider: String? = nil, call: Call
    ) async throws(RegistryError) -> Credentials {
        let item = SignUpRequest(di: di, accessToken: code, authProvider: authProvider).item
        let answer = try await self.item(.post, OCFPath.account, item: item, expecting: .changed, call)
        return try self.read { () throws(PayloadError) in try SignUpResponse(answer).credentials }
    }

    /// Changes a refresh token for a new pair, through `oic/sec/tokenrefresh`.
    package func refresh(
        uid: UserID, di: DeviceID, refreshToken: Secret, call: Call
    ) async throws(RegistryError) -> Credentials {
        let item = RefreshRequest(uid: uid, di: di, refreshToken: refreshToken).item
        let answer = try await self.item(.post, OCFPath.tokenRefresh, item: item, expecting: .changed, call)
        let tokens = try self.read { () throws(PayloadError) in try RefreshResponse(answer) }
        return Credentials(
            accessToken: tokens.accessToken, refreshToken: tokens.refreshToken, expiresIn: tokens.expiresIn, uid: uid)
    }

    // MARK: Who is it, whose is it

    /// Who stands behind an access token, nil if it is no good.
    package func principal(for token: Secret, call: Call) async throws(RegistryError) -> Principal? {
        let response = await self.response(.post, RegistryProtocol.tokens, item: TokenHolder(token).item, call)
        if response.code == .unauthorized { return nil }
        let answer = try self.payload(response, expecting: .content)
        return try self.read { () throws(PayloadError) in try Principal(answer) }
    }

    /// Owner and kind of a device or client, nil if there is none of that id.
    package func device(_ di: DeviceID, call: Call) async throws(RegistryError) -> Device? {
        try self.device(in: await self.response(.get, RegistryProtocol.devices + [di.text], call))
    }

    /// The same for code that cannot wait; `answer` is called exactly once, on any thread.
    package func device(
        _ di: DeviceID, call: Call, answer: @escaping @Sendable (Result<Device?, RegistryError>) -> Void
    ) {
        self.responder.respond(to: self.request(.get, RegistryProtocol.devices + [di.text], call)) { response in
            answer(Result { () throws(RegistryError) in try self.device(in: response) })
        }
    }

    private func device(in response: Response) throws(RegistryError) -> Device? {
        if response.code == .notFound { return nil }
        let answer = try self.payload(response, expecting: .content)
        return try self.read { () throws(PayloadError) in try Device(answer) }
    }

    /// The owner's devices in the order of their ids.
    ///
    /// - Parameters:
    ///   - kind: nil for devices and clients alike.
    ///   - after: only ids greater than this, so that pages are stable under inserts and deletions.
    ///   - limit: 1…1000.
    package func devices(
        of uid: UserID, kind: DeviceKind? = nil, after: DeviceID? = nil,
        limit: Int = RegistryProtocol.defaultPageLimit, call: Call
    ) async throws(RegistryError) -> [Device] {
        let queries = DevicesRequest(uid: uid, kind: kind, after: after, limit: limit).queries
        let answer = try await self.item(.get, RegistryProtocol.devices, queries: queries, expecting: .content, call)
        return try self.read { () throws(PayloadError) in
            var devices: [Device] = []
            for element in answer.elements ?? [] {
                devices.append(try Device(element))
            }
            return devices
        }
    }

    /// The links of a user's devices, through `GET /oic/res`: an array, as `interface` has it.
    ///
    /// - Parameter endpoint: what goes into `eps`; nil: no `eps`.
    package func links(
        of uid: UserID, request: DiscoveryRequest = DiscoveryRequest(), endpoint: String? = nil, call: Call
    ) async throws(RegistryError) -> DataItem {
        let queries =
            request.devices.map { "di=\($0)" } + request.resourceTypes.map { "rt=\($0)" }
            + ["if=\(request.interface.rawValue)"]
        // Uri-Query has at most 255 bytes (RFC 7252 §5.10.1).
        guard queries.allSatisfy({ $0.utf8.count <= 255 }) else {
            throw RegistryError(.badRequest, "a filter has more than 252 bytes: no type or id is that long")
        }
        return try await self.item(.get, OCFPath.discovery, queries: queries, expecting: .content, call) {
            $0.sessionUser = uid.text
            $0.endpoint = endpoint
        }
    }

    // MARK: Deletion

    /// Deletes a user and everything of his.
    ///
    /// - Returns: the devices and clients that are gone, whose sessions must end. 4.04 when there is no such user.
    package func deleteUser(_ uid: UserID, call: Call) async throws(RegistryError) -> [DeviceID] {
        try await self.deletion(RegistryProtocol.users + [uid.text], of: nil, call)
    }

    /// 4.04 when the user has no such client.
    package func deleteClient(_ di: DeviceID, of uid: UserID, call: Call) async throws(RegistryError) -> [DeviceID] {
        try await self.deletion(RegistryProtocol.clients + [di.text], of: uid, call)
    }

    /// 4.04 when the user has no such device.
    package func deleteDevice(_ di: DeviceID, of uid: UserID, call: Call) async throws(RegistryError) -> [DeviceID] {
        try await self.deletion(RegistryProtocol.devices + [di.text], of: uid, call)
    }

    // MARK: One request

    private func request(
        _ method: Code, _ path: [String], queries: [String] = [], item: DataItem? = nil, _ call: Call,
        adding: (inout Options) -> Void = { _ in }
    ) -> Request {
        var request = Request(ocf: method, path: path, queries: queries, item: item)
        request.options.caller = self.caller
        request.options.requestID = call.requestID
        request.options.deadlineMilliseconds = UInt32(clamping: call.deadline.clampedMilliseconds)
        adding(&request.options)
        return request
    }

    private func response(
        _ method: Code, _ path: [String], queries: [String] = [], item: DataItem? = nil, _ call: Call,
        adding: (inout Options) -> Void = { _ in }
    ) async -> Response {
        await self.responder.respond(
            to: self.request(method, path, queries: queries, item: item, call, adding: adding))
    }

    /// What one answer of the registry may have, its pages joined: `PagingRegistry` of `RegistryReach` holds it.
    private static let limits = DecodingLimits(bytes: 16 << 20, items: 4 << 20)

    private func payload(_ response: Response, expecting code: Code) throws(RegistryError) -> DataItem {
        guard response.code == code else {
            guard !response.code.isSuccess else {
                throw RegistryError(
                    .badGateway, "the registry answered \(response.code) for \(code): see its version and log")
            }
            throw RegistryError(response)
        }
        return try self.read { () throws(PayloadError) in
            guard let item = try response.item(limits: Self.limits) else {
                throw PayloadError(.badGateway, "it has no payload")
            }
            return item
        }
    }

    func item(
        _ method: Code, _ path: [String], queries: [String] = [], item: DataItem? = nil, expecting code: Code,
        _ call: Call, adding: (inout Options) -> Void = { _ in }
    ) async throws(RegistryError) -> DataItem {
        try self.payload(
            await self.response(method, path, queries: queries, item: item, call, adding: adding), expecting: code)
    }

    private func token(_ path: [String], _ item: DataItem, _ call: Call) async throws(RegistryError) -> Secret {
        let answer = try await self.item(.post, path, item: item, expecting: .created, call)
        return try self.read { () throws(PayloadError) in try TokenHolder(answer).token }
    }

    private func deletion(_ path: [String], of uid: UserID?, _ call: Call) async throws(RegistryError) -> [DeviceID] {
        let queries = uid.map { ["uid=\($0.text)"] } ?? []
        let answer = try await self.item(.delete, path, queries: queries, expecting: .deleted, call)
        return try self.read { () throws(PayloadError) in try Deletion(answer).devices }
    }

    func read<Value>(_ body: () throws(PayloadError) -> Value) throws(RegistryError) -> Value {
        do throws(PayloadError) {
            return try body()
        } catch {
            throw .unreadable(error)
        }
    }
}
