import Cloud
import CoAP
import OCF

/// oic.wk.rd and oic.wk.res (OCF Core).
extension Handlers {
    @Sendable func directoryProperties(_ exchange: Exchange) async throws -> Reply {
        Reply(exchange.negotiation.response(.content, Discovery.directory))
    }

    /// Publishes the links of the signed-in device, and of no other.
    @Sendable func publish(_ exchange: Exchange) async throws -> Reply {
        let session = try Self.session(exchange)
        let publication = try Publication(Negotiation.payload(of: exchange.request))
        try Self.check(publication.di, is: session.di)
        let ins = try await self.publish(publication, of: session.di)
        return Reply(exchange.negotiation.response(.changed, publication.answer(ins: ins)))
    }

    private func publish(_ publication: Publication, of di: DeviceID) async throws(CloudError) -> [Int] {
        do throws(CloudError) {
            return try await self.directory.publish(
                di: di, links: publication.links, ttl: publication.ttl, name: publication.name)
        } catch {
            // The device was deleted while it was connected: its session is worth nothing any more.
            guard error.code == .notFound else { throw error }
            throw CloudError(.unauthorized, "\(di) is not signed up any more: sign up with a new one-time code")
        }
    }

    @Sendable func unpublish(_ exchange: Exchange) async throws -> Reply {
        let session = try Self.session(exchange)
        let unpublication = try Unpublication(exchange.request.options)
        try Self.check(unpublication.di, is: session.di)
        _ = try await self.directory.unpublish(di: session.di, ins: unpublication.ins)
        return Reply(Response(.deleted))
    }

    /// Lists what the user's devices have published, whether they are connected or not.
    @Sendable func discover(_ exchange: Exchange) async throws -> Reply {
        guard let user = exchange.user else { throw Self.notSignedIn }
        let request = try DiscoveryRequest(exchange.request.options)
        let negotiation = exchange.negotiation
        var cursor = try exchange.request.options.page.map { text throws(PayloadError) in
            guard let cursor = LinkCursor(text) else { throw Self.wrongPage }
            return cursor
        }
        var page = DiscoveryPage(
            request, endpoint: exchange.request.options.endpoint, format: negotiation.format)
        var more: LinkCursor?
        // A filter that no device can meet is not no filter.
        if request.deviceFilter?.isEmpty != true {
            more = try await self.fill(&page, of: user, devices: request.deviceFilter ?? [], from: &cursor)
        }
        var response = negotiation.response(.content, page.answer())
        response.options.page = more?.text
        return Reply(response)
    }

    /// How many links are read at once.
    private static let readAtOnce = 500
    /// How many links one page may be looked for among: a page may be empty, and yet have a next one.
    private static let readForPage = 5000

    /// - Returns: where the next page begins; nil if this was the last.
    private func fill(
        _ page: inout DiscoveryPage, of user: UserID, devices: Set<DeviceID>, from cursor: inout LinkCursor?
    ) async throws(CloudError) -> LinkCursor? {
        for _ in 0..<Self.readForPage / Self.readAtOnce {
            let rows = try await self.directory.links(
                of: user, devices: devices, after: cursor, limit: Self.readAtOnce)
            for (di, link) in rows {
                guard page.add(link, of: di) else { return cursor }
                cursor = LinkCursor(di: di, ins: link.ins)
            }
            if rows.count < Self.readAtOnce { return nil }
        }
        return cursor
    }

    static let wrongPage = PayloadError(.badRequest, "the page is not one that was given out here")

    static let notSignedIn = PayloadError(.unauthorized, "sign in first: POST oic/sec/session")

    private static func session(_ exchange: Exchange) throws(PayloadError) -> (uid: UserID, di: DeviceID) {
        guard let session = exchange.session else { throw Self.notSignedIn }
        return session
    }

    private static func check(_ di: DeviceID, is own: DeviceID) throws(PayloadError) {
        guard di == own else {
            throw PayloadError(.forbidden, "di is not the device that is signed in here", field: "di")
        }
    }
}
