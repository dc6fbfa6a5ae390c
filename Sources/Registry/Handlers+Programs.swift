import CBOR
import Cloud
import CoAP
import NIOCore
import OCF

/// The registry's own resources, for our programs (`RegistryProtocol`).
extension Handlers {
    @Sendable func registerUser(_ exchange: Exchange) async throws -> Reply {
        let request = try UserRegistration(Negotiation.payload(of: exchange.request))
        let token = try await self.identity.registerUser(request.uid, authProvider: request.authProvider)
        return Reply(exchange.negotiation.response(.created, TokenHolder(token).item), uid: request.uid)
    }

    @Sendable func provisionMediator(_ exchange: Exchange) async throws -> Reply {
        let request = try MediatorProvision(Negotiation.payload(of: exchange.request))
        let token = try await self.identity.provisionMediator(uid: request.uid, userToken: request.userToken)
        return Reply(exchange.negotiation.response(.created, TokenHolder(token).item), uid: request.uid)
    }

    @Sendable func provisionCode(_ exchange: Exchange) async throws -> Reply {
        let request = try CodeProvision(Negotiation.payload(of: exchange.request))
        let code = try await self.identity.provisionCode(
            kind: request.kind, di: request.di, mediatorToken: request.mediatorToken)
        return Reply(exchange.negotiation.response(.created, TokenHolder(code).item), di: request.di)
    }

    /// Who stands behind a token; 4.01 when it is no good.
    @Sendable func principal(_ exchange: Exchange) async throws -> Reply {
        let request = try TokenHolder(Negotiation.payload(of: exchange.request))
        guard let known = try await self.identity.recognise(request.token) else {
            throw PayloadError(.unauthorized, "the token is unknown, expired or revoked", field: "accesstoken")
        }
        self.remember(known, request.token)
        return Reply(
            RegistryAnswer.principal(known, exchange.negotiation), uid: known.principal.uid, di: known.principal.di)
    }

    @Sendable func devices(_ exchange: Exchange) async throws -> Reply {
        var request = try DevicesRequest(exchange.request.options)
        if let text = exchange.request.options.page {
            guard let cursor = DevicesCursor(text) else { throw Self.wrongPage }
            request.after = cursor.after
            request.limit = cursor.remaining
        }
        let devices = try await self.directory.devices(
            of: request.uid, kind: request.kind, after: request.after, limit: request.limit)
        var items: [DataItem] = []
        var bytes = 0
        for device in devices {
            let item = device.item
            bytes += item.encoded().readableBytes
            guard items.isEmpty || bytes <= RegistryProtocol.pageBytes else { break }
            items.append(item)
        }
        var response = exchange.negotiation.response(.content, .array(items))
        if items.count < devices.count, let last = items.indices.last {
            response.options.page =
                DevicesCursor(remaining: request.limit - items.count, after: devices[last].di).text
        }
        return Reply(response, uid: request.uid)
    }

    @Sendable func device(_ exchange: Exchange) async throws -> Reply {
        guard let di = try? DeviceID(exchange.variable), let device = try await self.directory.device(di) else {
            throw PayloadError(.notFound, "no device or client of this id has signed up", field: "di")
        }
        return Reply(exchange.negotiation.response(.content, device.item), uid: device.uid, di: di)
    }

    @Sendable func deleteUser(_ exchange: Exchange) async throws -> Reply {
        guard let uid = try? UserID(exchange.variable) else {
            throw PayloadError(.notFound, "there is no such user", field: "uid")
        }
        return self.deleted(try await self.identity.deleteUser(uid), exchange, uid: uid)
    }

    @Sendable func deleteClient(_ exchange: Exchange) async throws -> Reply {
        let (di, uid) = try Self.owned(exchange)
        return self.deleted(try await self.identity.deleteClient(di, of: uid), exchange, uid: uid, di: di)
    }

    @Sendable func deleteDevice(_ exchange: Exchange) async throws -> Reply {
        let (di, uid) = try Self.owned(exchange)
        return self.deleted(try await self.identity.deleteDevice(di, of: uid), exchange, uid: uid, di: di)
    }

    @Sendable func mediators(_ exchange: Exchange) async throws -> Reply {
        let uid = try Self.owner(exchange)
        let mediators = try await self.identity.mediators(of: uid)
        return Reply(exchange.negotiation.response(.content, .array(mediators.map(\.item))), uid: uid)
    }

    @Sendable func deleteMediator(_ exchange: Exchange) async throws -> Reply {
        let uid = try Self.owner(exchange)
        try await self.identity.deleteMediator(exchange.variable, of: uid)
        // Mediators have no sessions.
        return self.deleted([], exchange, uid: uid)
    }

    private static func owner(_ exchange: Exchange) throws(PayloadError) -> UserID {
        guard let uid = exchange.request.options.queryValues["uid"].flatMap({ try? UserID($0) }) else {
            throw PayloadError(.badRequest, "uid is missing or breaks the id rule", field: "uid")
        }
        return uid
    }

    private static func owned(_ exchange: Exchange) throws(PayloadError) -> (DeviceID, UserID) {
        let uid = try Self.owner(exchange)
        guard let di = try? DeviceID(exchange.variable) else {
            throw PayloadError(.notFound, "no device or client of this id has signed up", field: "di")
        }
        return (di, uid)
    }

    private func deleted(_ gone: [DeviceID], _ exchange: Exchange, uid: UserID, di: DeviceID? = nil) -> Reply {
        self.endSessions(gone)
        return Reply(exchange.negotiation.response(.deleted, Deletion(gone).item), uid: uid, di: di)
    }
}
