/// What signs up: both clients and devices have a `di`, tokens and sessions, and one `di` is never both.
package enum DeviceKind: String, Sendable, Hashable, CaseIterable {
    case client
    case device

    package var principalKind: Principal.Kind {
        switch self {
        case .client: .client
        case .device: .device
        }
    }
}

/// A device or client that has signed up.
package struct Device: Hashable, Sendable {
    package var di: DeviceID
    /// Its owner.
    package var uid: UserID
    package var kind: DeviceKind
    /// What it calls itself (`n` of a publication), nil until it said so.
    package var name: String?
    /// The last number (`ins`) that was given to a link of it; 0 at first.
    package var lastIns: Int
    /// When it signed up first.
    package var createdAt: Timestamp

    package init(
        di: DeviceID, uid: UserID, kind: DeviceKind, name: String? = nil, lastIns: Int = 0, createdAt: Timestamp
    ) {
        self.di = di
        self.uid = uid
        self.kind = kind
        self.name = name
        self.lastIns = lastIns
        self.createdAt = createdAt
    }
}

/// A registered person or tenant: the owner of devices and clients.
package struct User: Hashable, Sendable {
    package var uid: UserID
    /// The authorization provider given at the registration; may be empty.
    package var authProvider: String
    package var createdAt: Timestamp

    package init(uid: UserID, authProvider: String, createdAt: Timestamp) {
        self.uid = uid
        self.authProvider = authProvider
        self.createdAt = createdAt
    }
}
