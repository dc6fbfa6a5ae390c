/// One transaction on a copy of the state.
final class InMemoryTransaction: CloudTransaction {
    var state: InMemoryCloudStore.State

    init(_ state: InMemoryCloudStore.State) {
        self.state = state
    }

    private static func duplicate(_ what: String) -> CloudError {
        CloudError(.conflict, "\(what) is in the store already")
    }
}

// Users and devices.
extension InMemoryTransaction {
    func user(_ uid: UserID) -> User? { self.state.users[uid] }
    func holdUser(_ uid: UserID) -> User? { self.state.users[uid] }
    func lockUser(_ uid: UserID) -> User? { self.state.users[uid] }

    func insert(_ user: User) throws(CloudError) {
        guard self.state.users[user.uid] == nil else { throw Self.duplicate("user \(user.uid)") }
        self.state.users[user.uid] = user
    }

    func deleteUser(_ uid: UserID) {
        for device in self.state.devices.values where device.uid == uid { self.deleteDevice(device.di) }
        self.state.credentials = self.state.credentials.filter { $0.value.uid != uid }
        self.state.families = self.state.families.filter { $0.value.uid != uid }
        self.state.users[uid] = nil
    }

    func device(_ di: DeviceID) -> Device? { self.state.devices[di] }
    func lockDevice(_ di: DeviceID) -> Device? { self.state.devices[di] }

    func insert(_ device: Device) throws(CloudError) {
        guard self.state.devices[device.di] == nil else { throw Self.duplicate("device \(device.di)") }
        self.state.devices[device.di] = device
    }

    func update(_ device: Device) {
        self.state.devices[device.di]?.name = device.name
        self.state.devices[device.di]?.lastIns = device.lastIns
    }

    func deleteDevice(_ di: DeviceID) {
        for family in self.families(of: di) { self.deleteFamily(family) }
        self.state.credentials = self.state.credentials.filter { $0.value.di != di }
        self.state.links[di] = nil
        self.state.devices[di] = nil
    }

    func devices(of uid: UserID, kind: DeviceKind?, after: DeviceID?, limit: Int) -> [Device] {
        let matching = self.state.devices.values.filter { device in
            device.uid == uid && (kind == nil || device.kind == kind) && (after.map { device.di > $0 } ?? true)
        }
        return Array(matching.sorted { $0.di < $1.di }.prefix(limit))
    }
}

// Credentials and families.
extension InMemoryTransaction {
    func credential(_ hash: SecretHash) -> Credential? { self.state.credentials[hash] }
    func lockCredential(_ hash: SecretHash) -> Credential? { self.state.credentials[hash] }

    func grant(_ hash: SecretHash) -> Grant? {
        self.state.credentials[hash].map { credential in
            Grant(
                credential: credential, family: credential.family.flatMap { self.state.families[$0] },
                sequence: self.state.sequence)
        }
    }

    func lockGrant(_ hash: SecretHash, of family: FamilyID) -> Grant? {
        self.grant(hash).flatMap { $0.family?.id == family ? $0 : nil }
    }

    func insert(_ credential: Credential) throws(CloudError) {
        guard self.state.credentials[credential.hash] == nil else { throw Self.duplicate("the credential") }
        self.state.credentials[credential.hash] = credential
    }

    func insert(_ first: Credential, _ second: Credential) throws(CloudError) {
        try self.insert(first)
        try self.insert(second)
    }

    func bindCode(_ hash: SecretHash, to di: DeviceID, family: FamilyID) {
        self.state.credentials[hash]?.di = di
        self.state.credentials[hash]?.family = family
    }

    func touch(_ hash: SecretHash, at now: Timestamp) { self.state.credentials[hash]?.lastUsed = now }

    func countCredentials(_ kind: CredentialKind, of uid: UserID, limit: Int) -> Int {
        min(limit, self.state.credentials.values.count { $0.kind == kind && $0.uid == uid })
    }

    func credentials(_ kind: CredentialKind, of uid: UserID, limit: Int) -> [Credential] {
        let matching = self.state.credentials.values.filter { $0.kind == kind && $0.uid == uid }
        return Array(matching.sorted { $0.hash.bytes.lexicographicallyPrecedes($1.hash.bytes) }.prefix(limit))
    }

    func deleteCredential(_ hash: SecretHash) { self.state.credentials[hash] = nil }

    func deleteUnusedCodes(of uid: UserID) {
        self.state.credentials = self.state.credentials.filter { _, credential in
            credential.kind != .code || credential.uid != uid || credential.family != nil
        }
    }

    func prune(_ family: FamilyID, accessBelow: Int, refreshBelow: Int) {
        self.state.credentials = self.state.credentials.filter { _, credential in
            guard credential.family == family else { return true }
            switch credential.kind {
            case .access: return credential.generation >= accessBelow
            case .refresh: return credential.generation >= refreshBelow
            case .user, .mediator, .code: return true
            }
        }
    }

    func deletePair(_ family: FamilyID, generation: Int) {
        self.state.credentials = self.state.credentials.filter { _, credential in
            credential.family != family || credential.generation != generation || credential.kind == .code
        }
    }

    func family(_ id: FamilyID) -> TokenFamily? { self.state.families[id] }
    func lockFamily(_ id: FamilyID) -> TokenFamily? { self.state.families[id] }

    func insert(_ family: TokenFamily) throws(CloudError) {
        guard self.state.families[family.id] == nil else { throw Self.duplicate("family \(family.id)") }
        self.state.families[family.id] = family
    }

    func update(_ family: TokenFamily) { self.state.families[family.id] = family }

    func families(of di: DeviceID) -> [FamilyID] {
        self.state.families.values.filter { $0.di == di }.map(\.id).sorted { $0.text < $1.text }
    }

    func deleteFamily(_ id: FamilyID) {
        self.state.credentials = self.state.credentials.filter { $0.value.family != id }
        self.state.families[id] = nil
    }
}

// Links, changes, sweeping.
extension InMemoryTransaction {
    func links(of di: DeviceID) -> [Link] {
        (self.state.links[di] ?? [:]).values.sorted { $0.ins < $1.ins }
    }

    func links(
        of uid: UserID, devices: Set<DeviceID>, after: LinkCursor?, now: Timestamp, limit: Int
    ) -> [(DeviceID, Link)] {
        var rows: [(DeviceID, Link)] = []
        for device in self.state.devices.values.sorted(by: { $0.di < $1.di })
        where device.uid == uid && (devices.isEmpty || devices.contains(device.di)) && rows.count < limit {
            if let after, device.di < after.di { continue }
            for link in self.links(of: device.di) where !link.isOver(at: now) {
                if let after, device.di == after.di, link.ins <= after.ins { continue }
                rows.append((device.di, link))
            }
        }
        return Array(rows.prefix(limit))
    }

    func insert(_ link: Link, of di: DeviceID) throws(CloudError) {
        let taken = (self.state.links[di] ?? [:]).values.contains {
            $0.ins == link.ins || $0.href.utf8.elementsEqual(link.href.utf8)
        }
        guard !taken else { throw Self.duplicate("link \(link.href) of \(di)") }
        self.state.links[di, default: [:]][link.ins] = link
    }

    func update(_ link: Link, of di: DeviceID) { self.state.links[di]?[link.ins] = link }
    func deleteLink(_ ins: Int, of di: DeviceID) { self.state.links[di]?[ins] = nil }

    func record(_ kind: Change.Kind, subject: String, at now: Timestamp) -> Int64 {
        self.state.sequence += 1
        self.state.changes.append(Change(sequence: self.state.sequence, kind: kind, subject: subject, at: now))
        return self.state.sequence
    }

    func changes(after sequence: Int64, limit: Int) -> [Change] {
        Array(self.state.changes.filter { $0.sequence > sequence }.prefix(limit))
    }

    func lastSequence() -> Int64 { self.state.sequence }

    func sweepCodes(now: Timestamp, limit: Int) -> Int {
        let swept = self.state.credentials.values.filter { credential in
            guard credential.kind == .code else { return false }
            guard credential.isValid(at: now) else { return true }
            guard let id = credential.family else { return false }
            guard let family = self.state.families[id] else { return true }
            return family.state != .pending || family.generation != 1
        }.prefix(limit)
        for credential in swept { self.state.credentials[credential.hash] = nil }
        return swept.count
    }

    func sweepSealedReplies(now: Timestamp, limit: Int) -> Int {
        let swept = self.state.families.values.filter { family in
            family.sealedReply != nil && family.sealedUntil.map { $0 < now } ?? false
        }.prefix(limit)
        for family in swept {
            self.state.families[family.id]?.sealedReply = nil
            self.state.families[family.id]?.sealedUntil = nil
        }
        return swept.count
    }

    func sweepLinks(now: Timestamp, limit: Int) -> Int {
        var count = 0
        for (di, links) in self.state.links {
            for link in links.values where count < limit {
                guard link.isOver(at: now) else { continue }
                self.state.links[di]?[link.ins] = nil
                count += 1
            }
        }
        return count
    }

    func sweepChanges(before moment: Timestamp, limit: Int) -> Int {
        let swept = Set(self.state.changes.filter { $0.at < moment }.prefix(limit).map(\.sequence))
        self.state.changes.removeAll { swept.contains($0.sequence) }
        return swept.count
    }
}
