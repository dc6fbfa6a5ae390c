package import Cloud
import CoAP

extension RegistryClient {
    /// The request for what was taken away after a sequence. Its answer may be held for `wait`, so the deadline of the
    /// call must be later.
    package func changes(_ request: ChangesRequest, call: Call) async throws(RegistryError) -> ChangesAnswer {
        let answer = try await self.item(
            .get, RegistryProtocol.changes, queries: request.queries, expecting: .content, call)
        return try self.read { () throws(PayloadError) in try ChangesAnswer(answer) }
    }

    /// Which of at most 100 logins no longer stand.
    package func gone(among logins: [Login], call: Call) async throws(RegistryError) -> [Login] {
        let answer = try await self.item(
            .post, RegistryProtocol.logins, item: LoginsRequest(logins).item, expecting: .content, call)
        let gone = try self.read { () throws(PayloadError) in try GoneLogins(answer) }
        return gone.places.filter(logins.indices.contains).map { logins[$0] }
    }
}
