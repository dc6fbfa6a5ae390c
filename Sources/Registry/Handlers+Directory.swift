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
        var links: [(DeviceID, [Link])] = []
        // A filter that no device can meet is not no filter.
        if request.deviceFilter?.isEmpty != true {
            links = try await self.directory.links(of: user, devices: request.deviceFilter ?? [])
        }
        let answer = Discovery.answer(
            request, links: links, endpoint: exchange.request.options.endpoint, format: exchange.negotiation.format)
        return Reply(exchange.negotiation.response(.content, answer))
    }

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
