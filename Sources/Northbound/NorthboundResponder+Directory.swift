import CBOR
import Cloud
import CoAP
import OCF

// What there is, and taking it away.
extension NorthboundResponder {
    func discover(_ scope: RequestScope) async throws -> HTTPAnswer {
        let principal = try scope.authenticated()
        let interfaces = scope.target.values("if").compactMap(DiscoveryRequest.Interface.init(rawValue:))
        let request = DiscoveryRequest(
            devices: scope.target.values("di"), resourceTypes: scope.target.values("rt"),
            interface: interfaces.first ?? .links)
        // No `eps`: over HTTP a link's href is itself the path to ask.
        return .json(
            try await self.registry.links(of: principal.uid, request: request, endpoint: nil, call: scope.call))
    }

    func listDevices(_ scope: RequestScope) async throws -> HTTPAnswer {
        let principal = try scope.authenticated()
        let limit = try Self.limit(scope.target)
        let after = try Self.cursor(scope.target, principal.uid)
        let page = try await self.registry.devices(
            of: principal.uid, kind: .device, after: after, limit: limit, call: scope.call)
        let presence = await self.presence.presence(of: page.map(\.di))
        var members: [DataItem.Pair] = [
            .init("devices", .array(page.map { Self.item($0, presence[$0.di] ?? .unknown) }))
        ]
        // A full page may be followed by an empty one; a page is never skipped or repeated by what comes and goes.
        if page.count == limit, let last = page.last {
            members.append(.init("next", .text(PageCursor.text(after: last.di, of: principal.uid))))
        }
        return .json(.map(members))
    }

    func showDevice(_ scope: inout RequestScope) async throws -> HTTPAnswer {
        let principal = try scope.authenticated()
        let device = try await self.owned(.device, &scope)
        let links = try await self.registry.links(
            of: principal.uid, request: DiscoveryRequest(devices: [device.di.text]), endpoint: nil, call: scope.call)
        let presence = await self.presence.presence(of: [device.di])
        guard case .map(var members) = Self.item(device, presence[device.di] ?? .unknown) else {
            throw Problem(.internalError)
        }
        members.append(.init("links", links))
        return .json(.map(members))
    }

    func deleteDevice(_ scope: inout RequestScope) async throws -> HTTPAnswer {
        let device = try await self.owned(.device, &scope)
        let gone = try await self.registry.deleteDevice(device.di, of: device.uid, call: scope.call)
        return await self.deleted(gone)
    }

    func deleteClient(_ scope: inout RequestScope) async throws -> HTTPAnswer {
        let principal = try scope.authenticated()
        if principal.kind == .client {
            // A client ends itself, not its brothers.
            let di = try? DeviceID(scope.parameters.named["di"] ?? "")
            guard di == principal.di else {
                throw self.wrongDevice(
                    Problem(.notYours, "A client's token can only delete that client."), principal)
            }
        }
        let client = try await self.owned(.client, &scope)
        let gone = try await self.registry.deleteClient(client.di, of: client.uid, call: scope.call)
        return await self.deleted(gone)
    }

    func deleteUser(_ scope: RequestScope) async throws -> HTTPAnswer {
        let principal = try scope.authenticated()
        guard (try? UserID(scope.parameters.named["uid"] ?? "")) == principal.uid else {
            throw Problem(.notYours, "A user's token can only delete that user.")
        }
        let gone = try await self.registry.deleteUser(principal.uid, call: scope.call)
        self.streams.end(.user(principal.uid))
        return await self.deleted(gone)
    }

    func listMediators(_ scope: RequestScope) async throws -> HTTPAnswer {
        let principal = try scope.authenticated()
        let mediators = try await self.registry.mediators(of: principal.uid, call: scope.call)
        let items = mediators.map { mediator in
            var members: [DataItem.Pair] = [
                .init("id", .text(mediator.id)), .init("created", .text(mediator.createdAt.internetDate)),
            ]
            if let used = mediator.lastUsed { members.append(.init("used", .text(used.internetDate))) }
            return DataItem.map(members)
        }
        return .json(.map(["mediators": .array(items)]))
    }

    func deleteMediator(_ scope: RequestScope) async throws -> HTTPAnswer {
        let principal = try scope.authenticated()
        let id = scope.parameters.named["id"] ?? ""
        // Other users' mediators cannot be told from those that never were; guessing is limited as that of devices.
        do throws(RegistryError) {
            try await self.registry.deleteMediator(id, of: principal.uid, call: scope.call)
        } catch {
            guard error.code == .notFound else { throw error }
            throw self.wrongDevice(
                Problem(.notFound, "You have no mediator \(id).", remedy: "GET /mediators lists yours."), principal)
        }
        return .noContent
    }

    private func deleted(_ devices: [DeviceID]) async -> HTTPAnswer {
        self.streams.end(devices)
        if !devices.isEmpty { await self.sessions.end(devices, reason: "deleted") }
        return .noContent
    }

    // MARK: Whose is it

    /// The device or client of the path, if it is the asker's.
    ///
    /// - Throws: `unknownDevice`, `notYours`, or `tooManyRequests` for who guesses too often.
    func owned(_ kind: DeviceKind, _ scope: inout RequestScope) async throws -> Device {
        let principal = try scope.authenticated()
        guard let di = try? DeviceID(scope.parameters.named["di"] ?? "") else {
            throw self.wrongDevice(Problem(.unknownDevice), principal)
        }
        scope.device = di
        let device = try await self.registry.device(di, call: scope.call)
        guard let device else { throw self.wrongDevice(Problem(.unknownDevice), principal) }
        guard device.uid == principal.uid else { throw self.wrongDevice(Problem(.notYours), principal) }
        guard device.kind == kind else {
            throw Problem(
                .unknownDevice, "This id is a \(device.kind.rawValue)'s, not a \(kind.rawValue)'s.",
                remedy: "Ask for it as what it is.")
        }
        return device
    }

    /// A wrong id, limited so that ids cannot be found by trying.
    func wrongDevice(_ problem: Problem, _ principal: Principal) -> Problem {
        self.limits.wrongDevice(problem, asker: principal.uid, now: self.clock.now())
    }

    // MARK: Pages

    private static func limit(_ target: HTTPTarget) throws(Problem) -> Int {
        guard let text = target.values("limit").first else { return RegistryProtocol.defaultPageLimit }
        guard let limit = Int(text), RegistryProtocol.pageLimits.contains(limit) else {
            throw .field("limit", "is not an integer of 1 to 1000", remedy: "Send 1 to 1000, or leave it out for 100.")
        }
        return limit
    }

    private static func cursor(_ target: HTTPTarget, _ uid: UserID) throws(Problem) -> DeviceID? {
        guard let text = target.values("cursor").first else { return nil }
        guard let device = PageCursor.device(text, of: uid) else {
            throw .field(
                "cursor", "is not one this list has given out", remedy: "Send `next` of the page before, unchanged.")
        }
        return device
    }

    private static func item(_ device: Device, _ presence: Presence) -> DataItem {
        var members: [DataItem.Pair] = [.init("di", .text(device.di.text))]
        if let name = device.name { members.append(.init("name", .text(name))) }
        let status: String
        let since: Timestamp?
        switch presence {
        case .online(let moment): (status, since) = ("online", moment)
        case .offline(let moment): (status, since) = ("offline", moment)
        case .unknown: (status, since) = ("unknown", nil)
        }
        members.append(.init("status", .text(status)))
        if let since { members.append(.init("since", .text(since.internetDate))) }
        return .map(members)
    }
}
