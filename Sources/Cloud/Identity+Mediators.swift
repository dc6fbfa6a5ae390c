/// A mediator as its user sees it: its token is never shown again.
package struct Mediator: Hashable, Sendable {
    /// The first 16 hexadecimal digits of the token's SHA-256, so that whoever has the token can tell which one it is.
    package var id: String
    package var createdAt: Timestamp
    /// About when its token was last used; nil: never.
    package var lastUsed: Timestamp?

    package init(id: String, createdAt: Timestamp, lastUsed: Timestamp?) {
        self.id = id
        self.createdAt = createdAt
        self.lastUsed = lastUsed
    }

    init(_ credential: Credential) {
        self.init(id: Self.id(credential.hash), createdAt: credential.notBefore, lastUsed: credential.lastUsed)
    }

    package static func id(_ hash: SecretHash) -> String { hash.bytes.prefix(8).hexadecimal }
}

/// The mediators of a user, and taking them away.
extension Identity {
    /// In the order of their ids, as many as a user may have at most.
    package func mediators(of uid: UserID) async throws(CloudError) -> [Mediator] {
        let limit = self.configuration.maximumMediators
        return try await self.store.ask { transaction throws(CloudError) in
            try transaction.credentials(.mediator, of: uid, limit: limit).map { Mediator($0) }
        }
    }

    /// Takes the right of a mediator, and every one-time code of its user that nobody has used yet.
    ///
    /// Unspecified: which mediator made a code is not kept, and a mediator is deleted because its token is in wrong
    /// hands; who was just being provisioned by another one gets a new code from that.
    ///
    /// - Throws: `notFound` when the user has no such mediator.
    package func deleteMediator(_ id: String, of uid: UserID) async throws(CloudError) {
        let now = self.clock.now()
        let limit = self.configuration.maximumMediators
        try await self.removing { transaction throws(CloudError) in
            guard try transaction.lockUser(uid) != nil else {
                throw CloudError(.notFound, "there is no user \(uid)", field: "uid")
            }
            let found = try transaction.credentials(.mediator, of: uid, limit: limit)
                .filter { Mediator.id($0.hash).exact == id.exact }
            guard !found.isEmpty else {
                throw CloudError(.notFound, "there is no mediator \(id) of yours", field: "id")
            }
            for mediator in found { try transaction.deleteCredential(mediator.hash) }
            try transaction.deleteUnusedCodes(of: uid)
            try transaction.record(.mediator, subject: uid.text, at: now)
        }
    }
}
