import CBOR
package import Cloud
import CoAP

extension RegistryClient {
    /// The user's mediators in the order of their ids.
    package func mediators(of uid: UserID, call: Call) async throws(RegistryError) -> [Mediator] {
        let answer = try await self.item(
            .get, RegistryProtocol.mediators, queries: ["uid=\(uid.text)"], expecting: .content, call)
        return try self.read { () throws(PayloadError) in
            var mediators: [Mediator] = []
            for element in answer.elements ?? [] { mediators.append(try Mediator(element)) }
            return mediators
        }
    }

    /// 4.04 when the user has no such mediator.
    package func deleteMediator(_ id: String, of uid: UserID, call: Call) async throws(RegistryError) {
        _ = try await self.item(
            .delete, RegistryProtocol.mediators + [id], queries: ["uid=\(uid.text)"], expecting: .deleted, call)
    }
}
