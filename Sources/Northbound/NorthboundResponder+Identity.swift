import CBOR
import Cloud
import CoAP
import OCF

// Registration, provisioning, sign-up and refresh: the session of the older gateway, with its keys, all of it 200.
extension NorthboundResponder {
    func registerUser(_ scope: RequestScope) async throws -> HTTPAnswer {
        switch self.configuration.registration {
        case .open: break
        case .closed: throw Problem(.registrationClosed)
        }
        try self.limits.admitRegistration(from: scope.peer, now: self.clock.now())
        let request = try UserRegistration(try await self.object(of: scope))
        do throws(RegistryError) {
            let token = try await self.registry.registerUser(
                request.uid, authProvider: request.authProvider, call: scope.call)
            return .json(TokenHolder(token).item)
        } catch {
            guard error.code == .conflict else { throw error }
            throw Problem(.userExists, "There is already a user \(request.uid).", field: "uid")
        }
    }

    func provisionMediator(_ scope: RequestScope) async throws -> HTTPAnswer {
        let request = try MediatorProvision(try await self.object(of: scope))
        let token = try await self.registry.provisionMediator(
            uid: request.uid, userToken: request.userToken, call: scope.call)
        return .json(TokenHolder(token).item)
    }

    func provision(_ kind: DeviceKind, _ scope: RequestScope) async throws -> HTTPAnswer {
        let item = try await self.object(of: scope)
        guard let mediatorToken = scope.token else { throw Problem(.unauthorized) }
        let code = try await self.registry.provisionCode(
            kind: kind, di: try Self.optionalDevice(item), mediatorToken: mediatorToken, call: scope.call)
        return .json(TokenHolder(code).item)
    }

    func signUp(_ scope: inout RequestScope) async throws -> HTTPAnswer {
        let request = try SignUpRequest(try await self.object(of: scope))
        scope.device = request.di
        let credentials = try await self.registry.signUp(
            di: request.di, code: request.accessToken, authProvider: request.authProvider, call: scope.call)
        return .json(SignUpResponse(credentials).item)
    }

    func refresh(_ scope: inout RequestScope) async throws -> HTTPAnswer {
        let request = try RefreshRequest(try await self.object(of: scope))
        scope.device = request.di
        let credentials = try await self.registry.refresh(
            uid: request.uid, di: request.di, refreshToken: request.refreshToken, call: scope.call)
        return .json(SignUpResponse(credentials).item)
    }

    /// `di`, which may be missing: the code then binds to whoever exchanges it first.
    private static func optionalDevice(_ item: DataItem) throws(Problem) -> DeviceID? {
        guard let value = item["di"], value != .null else { return nil }
        guard let text = value.string else { throw .field("di", "is \(value.kind), not a text") }
        do throws(IdentifierError) {
            return try DeviceID(text)
        } catch {
            throw .field("di", "\(error)", remedy: "")
        }
    }
}
