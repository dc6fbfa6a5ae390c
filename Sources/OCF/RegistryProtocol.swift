package import CBOR
package import Cloud
package import CoAP

/// The registry's own resources, for our programs only: CBOR maps under `/registry`, answered only to requests that
/// carry the internal option `caller`, which no device, client or HTTP peer can send.
package enum RegistryProtocol {
    /// The first segment, which no device can be called.
    package static let root = "registry"
    package static let users = [root, "users"]
    package static let mediators = [root, "mediators"]
    package static let codes = [root, "codes"]
    package static let tokens = [root, "tokens"]
    package static let clients = [root, "clients"]
    package static let devices = [root, "devices"]

    /// How many devices one page may have.
    package static let pageLimits = 1...1000
    package static let defaultPageLimit = 100
}

/// `POST registry/users` → 2.01 `{accesstoken}`.
package struct UserRegistration: Equatable, Sendable {
    package var uid: UserID
    package var authProvider: String

    package init(uid: UserID, authProvider: String) {
        self.uid = uid
        self.authProvider = authProvider
    }

    package init(_ item: DataItem) throws(PayloadError) {
        let fields = try Fields(item)
        self.uid = try fields.user("uid")
        self.authProvider = try fields.optionalText("authprovider", maximumBytes: 128) ?? ""
    }

    package var item: DataItem { .map(["uid": .text(self.uid.text), "authprovider": .text(self.authProvider)]) }
}

/// `POST registry/mediators` → 2.01 `{accesstoken}`.
package struct MediatorProvision: Equatable, Sendable {
    package var uid: UserID
    package var userToken: Secret

    package init(uid: UserID, userToken: Secret) {
        self.uid = uid
        self.userToken = userToken
    }

    package init(_ item: DataItem) throws(PayloadError) {
        let fields = try Fields(item)
        self.uid = try fields.user("uid")
        self.userToken = try fields.secret("accesstoken")
    }

    package var item: DataItem { .map(["uid": .text(self.uid.text), "accesstoken": .text(self.userToken.reveal())]) }
}

/// `POST registry/codes` → 2.01 `{accesstoken}`.
package struct CodeProvision: Equatable, Sendable {
    package var kind: DeviceKind
    /// Nil: the code binds to the first device that exchanges it.
    package var di: DeviceID?
    package var mediatorToken: Secret

    package init(kind: DeviceKind, di: DeviceID?, mediatorToken: Secret) {
        self.kind = kind
        self.di = di
        self.mediatorToken = mediatorToken
    }

    package init(_ item: DataItem) throws(PayloadError) {
        let fields = try Fields(item)
        guard let kind = DeviceKind(rawValue: try fields.text("kind")) else {
            throw fields.error("kind", "is neither client nor device")
        }
        self.kind = kind
        self.di = try fields.optionalDevice("di")
        self.mediatorToken = try fields.secret("accesstoken")
    }

    package var item: DataItem {
        var pairs: [DataItem.Pair] = [.init("kind", .text(self.kind.rawValue))]
        if let di { pairs.append(.init("di", .text(di.text))) }
        pairs.append(.init("accesstoken", .text(self.mediatorToken.reveal())))
        return .map(pairs)
    }
}

/// A token alone: what `users`, `mediators` and `codes` answer, and what `tokens` asks about.
package struct TokenHolder: Equatable, Sendable {
    package var token: Secret

    package init(_ token: Secret) {
        self.token = token
    }

    package init(_ item: DataItem) throws(PayloadError) {
        self.token = try Fields(item).secret("accesstoken")
    }

    package var item: DataItem { .map(["accesstoken": .text(self.token.reveal())]) }
}

/// The ids of devices and clients that are gone: what the deletions answer.
package struct Deletion: Hashable, Sendable {
    package var devices: [DeviceID]

    package init(_ devices: [DeviceID]) {
        self.devices = devices
    }

    package init(_ item: DataItem) throws(PayloadError) {
        let fields = try Fields(item)
        self.devices = (fields["devices"]?.elements ?? []).compactMap(\.string).map { DeviceID(stored: $0) }
    }

    package var item: DataItem { .map(["devices": .array(self.devices.map { .text($0.text) })]) }
}

extension Principal {
    package init(_ item: DataItem) throws(PayloadError) {
        let fields = try Fields(item)
        guard let kind = Kind(rawValue: try fields.text("kind")) else {
            throw fields.error("kind", "is unknown here")
        }
        self.init(
            kind: kind,
            uid: UserID(stored: try fields.text("uid")),
            di: try fields.optionalText("di").map { DeviceID(stored: $0) },
            expiresAt: try fields.optionalInteger("expires").map(Timestamp.init(milliseconds:)),
            family: try fields.optionalText("family").map { FamilyID(stored: $0) },
        )
    }

    package var item: DataItem {
        var pairs: [DataItem.Pair] = [
            .init("kind", .text(self.kind.rawValue)), .init("uid", .text(self.uid.text)),
        ]
        if let di { pairs.append(.init("di", .text(di.text))) }
        if let expiresAt { pairs.append(.init("expires", DataItem(integer: expiresAt.milliseconds))) }
        if let family { pairs.append(.init("family", .text(family.text))) }
        return .map(pairs)
    }
}

extension Device {
    package init(_ item: DataItem) throws(PayloadError) {
        let fields = try Fields(item)
        guard let kind = DeviceKind(rawValue: try fields.text("kind")) else {
            throw fields.error("kind", "is unknown here")
        }
        self.init(
            di: DeviceID(stored: try fields.text("di")),
            uid: UserID(stored: try fields.text("uid")),
            kind: kind,
            name: try fields.optionalText("n"),
            createdAt: Timestamp(milliseconds: try fields.integer("created")),
        )
    }

    package var item: DataItem {
        var pairs: [DataItem.Pair] = [
            .init("di", .text(self.di.text)), .init("uid", .text(self.uid.text)),
            .init("kind", .text(self.kind.rawValue)),
        ]
        if let name { pairs.append(.init("n", .text(name))) }
        pairs.append(.init("created", DataItem(integer: self.createdAt.milliseconds)))
        return .map(pairs)
    }
}

/// The queries of `GET registry/devices`. Their values are ids and may hold `&` and `;`: nothing is split here.
package struct DevicesRequest: Hashable, Sendable {
    package var uid: UserID
    package var kind: DeviceKind?
    /// Only devices whose id is greater.
    package var after: DeviceID?
    package var limit: Int

    package init(uid: UserID, kind: DeviceKind? = nil, after: DeviceID? = nil, limit: Int) {
        self.uid = uid
        self.kind = kind
        self.after = after
        self.limit = limit
    }

    /// - Throws: 4.00 that names the query.
    package init(_ options: Options) throws(PayloadError) {
        let values = options.queryValues
        guard let uid = values["uid"].flatMap({ try? UserID($0) }) else {
            throw PayloadError(.badRequest, "uid is missing or breaks the id rule", field: "uid")
        }
        self.uid = uid
        self.kind = try values["kind"].map { text throws(PayloadError) in
            guard let kind = DeviceKind(rawValue: text) else {
                throw PayloadError(.badRequest, "kind is neither client nor device", field: "kind")
            }
            return kind
        }
        // A cursor is compared, not looked up: any text will do.
        self.after = values["after"].map { DeviceID(stored: $0) }
        let limit = values["limit"].map { Int($0) ?? 0 } ?? RegistryProtocol.defaultPageLimit
        guard RegistryProtocol.pageLimits.contains(limit) else {
            throw PayloadError(.badRequest, "limit is not an integer of 1 to 1000", field: "limit")
        }
        self.limit = limit
    }

    package var queries: [String] {
        ["uid=\(self.uid.text)", "limit=\(self.limit)"] + (self.kind.map { ["kind=\($0.rawValue)"] } ?? [])
            + (self.after.map { ["after=\($0.text)"] } ?? [])
    }
}

extension Options {
    /// Our own queries: one `name=value` an option, the first of a name counts.
    package var queryValues: [String: String] {
        var values: [String: String] = [:]
        for query in self.queries ?? [] {
            let parts = query.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
            guard parts.count == 2, values[String(parts[0])] == nil else { continue }
            values[String(parts[0])] = String(parts[1])
        }
        return values
    }
}
