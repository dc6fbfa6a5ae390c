package import CBOR
package import Cloud
package import CoAP

extension RegistryProtocol {
    package static let changes = [root, "changes"]
    package static let logins = [root, "logins"]

    /// How long `GET registry/changes` may be held.
    package static let maximumWait: Duration = .seconds(20)
    /// How many changes one answer has at most.
    package static let maximumChanges = 1000
    /// How many logins one `POST registry/logins` may ask about.
    package static let maximumLogins = 100
}

/// `GET registry/changes?after=N&wait=ms` → 2.05 `ChangesAnswer`: at once if there are changes after N, else when there
/// are, else after the wait.
package struct ChangesRequest: Hashable, Sendable {
    /// Nil: only the last sequence is asked for, without waiting.
    package var after: Int64?
    package var wait: Duration

    package init(after: Int64?, wait: Duration) {
        self.after = after
        self.wait = wait
    }

    /// - Throws: 4.00 that names the query. A longer wait than is allowed is cut.
    package init(_ options: Options) throws(PayloadError) {
        let values = options.queryValues
        self.after = try values["after"].map { text throws(PayloadError) in
            guard let sequence = Int64(text), sequence >= 0 else {
                throw PayloadError(.badRequest, "after is not an integer of 0 or more", field: "after")
            }
            return sequence
        }
        let wait = try values["wait"].map { text throws(PayloadError) in
            guard let milliseconds = UInt32(text) else {
                throw PayloadError(.badRequest, "wait is not a number of milliseconds", field: "wait")
            }
            return Duration.milliseconds(milliseconds)
        }
        self.wait = min(wait ?? .zero, RegistryProtocol.maximumWait)
    }

    package var queries: [String] {
        (self.after.map { ["after=\($0)"] } ?? []) + ["wait=\(max(0, self.wait.clampedMilliseconds))"]
    }
}

/// Where the change log stands, and what came after the sequence that was asked for. Whoever follows goes on after the
/// last of `changes`, or after `last` when there are none.
package struct ChangesAnswer: Hashable, Sendable {
    package var last: Int64
    /// Changes were missed: drop every cache, verify every session, and go on after `last`.
    package var gap: Bool
    package var changes: [Change]
    /// The registry's clock.
    package var now: Timestamp

    package init(last: Int64, gap: Bool, changes: [Change], now: Timestamp) {
        self.last = last
        self.gap = gap
        self.changes = changes
        self.now = now
    }

    package init(_ item: DataItem) throws(PayloadError) {
        let fields = try Fields(item)
        self.last = try fields.integer("last")
        self.gap = try fields.flag("gap")
        self.now = Timestamp(milliseconds: try fields.integer("now"))
        var changes: [Change] = []
        for (index, element) in (fields["changes"]?.elements ?? []).enumerated() {
            let row = try Fields(element, prefix: "changes[\(index)].")
            guard let kind = Change.Kind(rawValue: try row.text("kind")) else {
                throw row.error("kind", "is unknown here: this program is older than the registry")
            }
            changes.append(
                Change(
                    sequence: try row.integer("seq"), kind: kind, subject: try row.text("subject"),
                    at: Timestamp(milliseconds: try row.integer("at"))))
        }
        self.changes = changes
    }

    package var item: DataItem {
        .map([
            "last": DataItem(integer: self.last),
            "gap": .boolean(self.gap),
            "now": DataItem(integer: self.now.milliseconds),
            "changes": .array(
                self.changes.map { change in
                    .map([
                        "seq": DataItem(integer: change.sequence), "kind": .text(change.kind.rawValue),
                        "subject": .text(change.subject), "at": DataItem(integer: change.at.milliseconds),
                    ])
                }),
        ])
    }
}

/// `POST registry/logins` → 2.05 `GoneLogins`.
package struct LoginsRequest: Hashable, Sendable {
    package var logins: [Login]

    package init(_ logins: [Login]) {
        self.logins = logins
    }

    package init(_ item: DataItem) throws(PayloadError) {
        let fields = try Fields(item)
        guard let elements = fields["logins"]?.elements else { throw fields.error("logins", "is not an array") }
        guard elements.count <= RegistryProtocol.maximumLogins else {
            throw fields.error(
                "logins", "has \(elements.count) elements: at most \(RegistryProtocol.maximumLogins) are taken",
                code: .requestEntityTooLarge)
        }
        var logins: [Login] = []
        for (index, element) in elements.enumerated() {
            let login = try Fields(element, prefix: "logins[\(index)].")
            logins.append(
                Login(
                    uid: try login.user("uid"), di: try login.device("di"),
                    family: try login.optionalText("family").map { FamilyID(stored: $0) }))
        }
        self.logins = logins
    }

    package var item: DataItem {
        .map([
            "logins": .array(
                self.logins.map { login in
                    .map(
                        [.init("uid", .text(login.uid.text)), .init("di", .text(login.di.text))]
                            + (login.family.map { [.init("family", .text($0.text))] } ?? []))
                })
        ])
    }
}

/// The places of the logins that no longer stand.
package struct GoneLogins: Hashable, Sendable {
    package var places: [Int]

    package init(_ places: [Int]) {
        self.places = places
    }

    package init(_ item: DataItem) throws(PayloadError) {
        let fields = try Fields(item)
        self.places = (fields["gone"]?.elements ?? []).compactMap { $0.integer.flatMap { Int(exactly: $0) } }
    }

    package var item: DataItem { .map(["gone": .array(self.places.map { DataItem(integer: Int64($0)) })]) }
}
