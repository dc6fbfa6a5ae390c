/// Where users, devices, credentials and links live.
///
/// A rule is straight-line code in **one** transaction: `write` commits all of it or nothing. Both throw what the body
/// throws, and `unavailable` whenever the store itself fails.
package protocol CloudStore: Sendable {
    /// Runs `body` against one consistent state; it must not change anything.
    func read<R: Sendable>(
        _ body: @escaping @Sendable (any CloudTransaction) throws(CloudError) -> R
    ) async throws(CloudError) -> R

    /// The same for a body that asks one question only, which needs no transaction around it.
    func ask<R: Sendable>(
        _ body: @escaping @Sendable (any CloudTransaction) throws(CloudError) -> R
    ) async throws(CloudError) -> R

    /// Runs `body` and commits, or takes everything back when it throws. The store may run the body again when another
    /// transaction got in its way, so the body must have no effect but through the transaction.
    func write<R: Sendable>(
        _ body: @escaping @Sendable (any CloudTransaction) throws(CloudError) -> R
    ) async throws(CloudError) -> R
}

extension CloudStore {
    package func ask<R: Sendable>(
        _ body: @escaping @Sendable (any CloudTransaction) throws(CloudError) -> R
    ) async throws(CloudError) -> R {
        try await self.read(body)
    }
}

/// A credential and the family it belongs to, as one read finds them.
package struct Grant: Hashable, Sendable {
    package var credential: Credential
    package var family: TokenFamily?
    /// The last change there was: what is changed after it is told by the change log.
    package var sequence: Int64

    package init(credential: Credential, family: TokenFamily?, sequence: Int64) {
        self.credential = credential
        self.family = family
        self.sequence = sequence
    }
}

/// What a rule may ask of a store, within one transaction. Lists come in byte order of their ids. Methods named `lock…`
/// hold the row against other transactions until this one ends.
package protocol CloudTransaction {
    // Users.
    func user(_ uid: UserID) throws(CloudError) -> User?
    /// The same, locked: whoever counts what a user has before he adds to it locks him first.
    func lockUser(_ uid: UserID) throws(CloudError) -> User?
    /// The same, held against deletion: whoever adds something to a user holds him first, so that a deletion misses
    /// nothing. Others may hold him too.
    func holdUser(_ uid: UserID) throws(CloudError) -> User?
    func insert(_ user: User) throws(CloudError)
    /// Removes the user and everything of his: devices, links, families, credentials.
    func deleteUser(_ uid: UserID) throws(CloudError)

    // Devices and clients.
    func device(_ di: DeviceID) throws(CloudError) -> Device?
    func lockDevice(_ di: DeviceID) throws(CloudError) -> Device?
    func insert(_ device: Device) throws(CloudError)
    /// Changes its name and the last number of its links.
    func update(_ device: Device) throws(CloudError)
    /// Removes the device and everything of it: links, families, credentials.
    func deleteDevice(_ di: DeviceID) throws(CloudError)
    /// Devices of an owner whose di is greater than `after`.
    func devices(
        of uid: UserID, kind: DeviceKind?, after: DeviceID?, limit: Int
    ) throws(CloudError) -> [Device]

    // Credentials.
    func credential(_ hash: SecretHash) throws(CloudError) -> Credential?
    func lockCredential(_ hash: SecretHash) throws(CloudError) -> Credential?
    /// The credential with its family and the sequence, in one question.
    func grant(_ hash: SecretHash) throws(CloudError) -> Grant?
    /// The same for a credential of this family, the family locked.
    func lockGrant(_ hash: SecretHash, of family: FamilyID) throws(CloudError) -> Grant?
    func insert(_ credential: Credential) throws(CloudError)
    /// Both, in one statement.
    func insert(_ first: Credential, _ second: Credential) throws(CloudError)
    /// Notes what a code was exchanged for.
    func bindCode(_ hash: SecretHash, to di: DeviceID, family: FamilyID) throws(CloudError)
    func touch(_ hash: SecretHash, at now: Timestamp) throws(CloudError)
    /// How many there are, counted no further than `limit`.
    func countCredentials(_ kind: CredentialKind, of uid: UserID, limit: Int) throws(CloudError) -> Int
    /// Those of a kind, in the order of their hashes.
    func credentials(_ kind: CredentialKind, of uid: UserID, limit: Int) throws(CloudError) -> [Credential]
    func deleteCredential(_ hash: SecretHash) throws(CloudError)
    /// Forgets the codes that were not exchanged yet.
    func deleteUnusedCodes(of uid: UserID) throws(CloudError)
    /// Forgets access tokens below one generation of a family and refresh tokens below another.
    func prune(_ family: FamilyID, accessBelow: Int, refreshBelow: Int) throws(CloudError)
    /// Forgets the access and refresh token of one generation.
    func deletePair(_ family: FamilyID, generation: Int) throws(CloudError)

    // Families.
    func family(_ id: FamilyID) throws(CloudError) -> TokenFamily?
    func lockFamily(_ id: FamilyID) throws(CloudError) -> TokenFamily?
    func insert(_ family: TokenFamily) throws(CloudError)
    func update(_ family: TokenFamily) throws(CloudError)
    func families(of di: DeviceID) throws(CloudError) -> [FamilyID]
    /// Removes the family and its credentials.
    func deleteFamily(_ id: FamilyID) throws(CloudError)

    // Links. `ins` is assigned by the rule, and the last one is in the device.
    /// Every link of the device, expired ones too, by `ins`.
    func links(of di: DeviceID) throws(CloudError) -> [Link]
    /// Links of an owner's devices that have not expired at `now`, at most `limit`, by di and `ins`, from behind
    /// `after` on; an empty set of devices means all.
    func links(
        of uid: UserID, devices: Set<DeviceID>, after: LinkCursor?, now: Timestamp, limit: Int
    ) throws(CloudError) -> [(DeviceID, Link)]
    func insert(_ link: Link, of di: DeviceID) throws(CloudError)
    /// Replaces the link with the same `ins`.
    func update(_ link: Link, of di: DeviceID) throws(CloudError)
    func deleteLink(_ ins: Int, of di: DeviceID) throws(CloudError)

    // Changes.
    /// Writes the next row and returns its sequence.
    @discardableResult
    func record(_ kind: Change.Kind, subject: String, at now: Timestamp) throws(CloudError) -> Int64
    /// Rows after a sequence, oldest first.
    func changes(after sequence: Int64, limit: Int) throws(CloudError) -> [Change]
    /// The last sequence given out; 0 at first.
    func lastSequence() throws(CloudError) -> Int64

    // Sweeping: each removes at most `limit` rows and returns how many.
    /// Codes that ran out, and codes whose family was used or is gone.
    func sweepCodes(now: Timestamp, limit: Int) throws(CloudError) -> Int
    /// Sealed replies nobody may ask for any more.
    func sweepSealedReplies(now: Timestamp, limit: Int) throws(CloudError) -> Int
    func sweepLinks(now: Timestamp, limit: Int) throws(CloudError) -> Int
    func sweepChanges(before moment: Timestamp, limit: Int) throws(CloudError) -> Int
}
