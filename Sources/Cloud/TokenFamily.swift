/// One login of one device or client: a chain of pairs of access and refresh token, of which generation after
/// generation replaces the one before.
///
/// A value that decides and does nothing else: no clock, no store, no secrets. Whoever holds it has locked its row,
/// does what the decision says, and writes it back in the same transaction.
package struct TokenFamily: Hashable, Sendable {
    package enum State: String, Sendable, Hashable, CaseIterable {
        /// The newest pair was issued, and nobody has shown yet that he has it: its predecessor is valid too.
        case pending
        /// The newest pair was used: its predecessor is dead.
        case confirmed
        /// Nothing of it is valid any more.
        case revoked
    }

    package var id: FamilyID
    package var uid: UserID
    package var di: DeviceID
    package var kind: DeviceKind
    package var state: State
    /// The newest generation, from 1 on.
    package var generation: Int
    /// When a generation was confirmed last; nil before the first.
    package var confirmedAt: Timestamp?
    /// The newest pair under `ReplySealer`, only so that a lost answer can be repeated.
    package var sealedReply: [UInt8]?
    /// From when on nobody may ask for the sealed reply; nil: not known before the first use of the pair.
    package var sealedUntil: Timestamp?

    /// A new login: generation 1, issued and not yet used. Its reply may be repeated until the code runs out.
    package init(id: FamilyID, uid: UserID, di: DeviceID, kind: DeviceKind, codeExpiresAt: Timestamp?) {
        self.id = id
        self.uid = uid
        self.di = di
        self.kind = kind
        self.state = .pending
        self.generation = 1
        self.sealedUntil = codeExpiresAt
    }

    /// A family as it came from a store.
    package init(
        id: FamilyID,
        uid: UserID,
        di: DeviceID,
        kind: DeviceKind,
        state: State,
        generation: Int,
        confirmedAt: Timestamp?,
        sealedReply: [UInt8]?,
        sealedUntil: Timestamp?,
    ) {
        self.id = id
        self.uid = uid
        self.di = di
        self.kind = kind
        self.state = state
        self.generation = generation
        self.confirmedAt = confirmedAt
        self.sealedReply = sealedReply
        self.sealedUntil = sealedUntil
    }
}
