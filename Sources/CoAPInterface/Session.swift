package import Cloud
package import NIOCore

/// What a sign-in gave a connection: from here on the connection is this device or client.
package struct Session: Hashable, Sendable {
    package let di: DeviceID
    package let uid: UserID
    package let kind: Principal.Kind
    /// The login its token belongs to, nil if the registry did not say.
    package var family: FamilyID?
    /// The last change the registry knew of when it granted the sign-in: that one and earlier ones took nothing away.
    package var sequence: Int64?
    /// Greater than that of every earlier session of the device.
    package let epoch: UInt64
    /// When the token that signed it in ends, nil for a permanent one.
    package var expiresAt: NIODeadline?
    /// The owner as log lines show it: a short hash.
    let principal: String

    package init(
        di: DeviceID, uid: UserID, kind: Principal.Kind, family: FamilyID? = nil, sequence: Int64? = nil, epoch: UInt64,
        expiresAt: NIODeadline?
    ) {
        self.di = di
        self.uid = uid
        self.kind = kind
        self.family = family
        self.sequence = sequence
        self.epoch = epoch
        self.expiresAt = expiresAt
        self.principal = "\(kind.rawValue):\(SecretHash(of: uid.text).short)"
    }
}
