import Cloud

extension SQLTransaction {
    private static func credential(_ row: inout SQLRow) throws(SQLError) -> Credential {
        guard let hash = SecretHash(bytes: try row.blob()) else {
            throw SQLError(.damaged, "a credential's hash has not \(SecretHash.lengthBytes) bytes")
        }
        return Credential(
            hash: hash,
            kind: try row.word(CredentialKind.self),
            uid: try row.userID(),
            di: try row.optionalDeviceID(),
            deviceKind: try row.optionalWord(DeviceKind.self),
            notBefore: try row.moment(),
            notAfter: try row.optionalMoment(),
            family: try row.optionalFamilyID(),
            generation: try row.number(),
            lastUsed: try row.optionalMoment(),
        )
    }

    func credential(_ hash: SecretHash) throws(CloudError) -> Credential? {
        try self.first(Statements.Credentials.find, SQLValue(hash), read: Self.credential)
    }

    func lockCredential(_ hash: SecretHash) throws(CloudError) -> Credential? {
        try self.first(Statements.Credentials.find.locking(), SQLValue(hash), read: Self.credential)
    }

    func grant(_ hash: SecretHash) throws(CloudError) -> Grant? {
        try self.first(Statements.Credentials.grant, SQLValue(hash), read: Self.grant)
    }

    func lockGrant(_ hash: SecretHash, of family: FamilyID) throws(CloudError) -> Grant? {
        try self.first(
            Statements.Credentials.grantOfFamily.locking(), SQLValue(family), SQLValue(hash), read: Self.grant)
    }

    private static func grant(_ row: inout SQLRow) throws(SQLError) -> Grant {
        let sequence = try row.integer()
        let credential = try self.credential(&row)
        let family = try row.optionalFamilyID().map { id throws(SQLError) in try self.family(id, &row) }
        return Grant(credential: credential, family: family, sequence: sequence)
    }

    func insert(_ credential: Credential) throws(CloudError) {
        try self.execute(Statements.Credentials.insert, Self.values(credential))
    }

    func insert(_ first: Credential, _ second: Credential) throws(CloudError) {
        try self.execute(Statements.Credentials.insertTwo, Self.values(first) + Self.values(second))
    }

    private static func values(_ credential: Credential) -> [SQLValue] {
        [
            SQLValue(credential.hash),
            .text(credential.kind.rawValue),
            .text(Credential.algorithm),
            SQLValue(credential.uid),
            SQLValue(credential.di),
            SQLValue(credential.deviceKind?.rawValue),
            SQLValue(credential.notBefore),
            SQLValue(credential.notAfter),
            SQLValue(credential.family),
            SQLValue(credential.generation),
            SQLValue(credential.lastUsed),
        ]
    }

    func bindCode(_ hash: SecretHash, to di: DeviceID, family: FamilyID) throws(CloudError) {
        try self.execute(Statements.Credentials.bindCode, SQLValue(di), SQLValue(family), SQLValue(hash))
    }

    func touch(_ hash: SecretHash, at now: Timestamp) throws(CloudError) {
        try self.execute(Statements.Credentials.touch, SQLValue(now), SQLValue(hash))
    }

    func countCredentials(_ kind: CredentialKind, of uid: UserID, limit: Int) throws(CloudError) -> Int {
        try self.first(
            Statements.Credentials.count, SQLValue(uid), .text(kind.rawValue), SQLValue(limit)
        ) { row throws(SQLError) in try row.number() } ?? 0
    }

    func credentials(_ kind: CredentialKind, of uid: UserID, limit: Int) throws(CloudError) -> [Credential] {
        try self.all(
            Statements.Credentials.ofSubject, SQLValue(uid), .text(kind.rawValue), SQLValue(limit),
            read: Self.credential)
    }

    func deleteCredential(_ hash: SecretHash) throws(CloudError) {
        try self.execute(Statements.Credentials.delete, SQLValue(hash))
    }

    func deleteUnusedCodes(of uid: UserID) throws(CloudError) {
        try self.execute(Statements.Credentials.deleteUnusedCodes, SQLValue(uid))
    }

    func prune(_ family: FamilyID, accessBelow: Int, refreshBelow: Int) throws(CloudError) {
        try self.delete(
            Statements.Credentials.prunable, SQLValue(family), SQLValue(accessBelow), SQLValue(refreshBelow))
    }

    func deletePair(_ family: FamilyID, generation: Int) throws(CloudError) {
        try self.delete(Statements.Credentials.ofGeneration, SQLValue(family), SQLValue(generation))
    }

    /// Deletes what a statement finds, by primary key. A DELETE that looks for its rows in a range of an index waits
    /// for the row behind the range too, which is another family's: two that refresh beside each other would wait for
    /// one another. Whoever calls this has locked the family, so that nobody changes what was found.
    private func delete(_ found: SQLStatement, _ values: SQLValue...) throws(CloudError) {
        let hashes = try self.all(found, values) { row throws(SQLError) in try row.blob() }
        let together = Statements.Credentials.deletedTogether
        for start in stride(from: 0, to: hashes.count, by: together) {
            // The last once more where there are fewer.
            let values = (start..<(start + together)).map { SQLValue.blob(hashes[min($0, hashes.count - 1)]) }
            try self.execute(Statements.Credentials.deleteTogether, values)
        }
    }
}

extension SQLTransaction {
    private static func family(_ id: FamilyID, _ row: inout SQLRow) throws(SQLError) -> TokenFamily {
        TokenFamily(
            id: id,
            uid: try row.userID(),
            di: try row.deviceID(),
            kind: try row.word(DeviceKind.self),
            state: try row.word(TokenFamily.State.self),
            generation: try row.number(),
            confirmedAt: try row.optionalMoment(),
            sealedReply: try row.optionalBlob(),
            sealedUntil: try row.optionalMoment(),
        )
    }

    func family(_ id: FamilyID) throws(CloudError) -> TokenFamily? {
        try self.find(Statements.Families.find, id)
    }

    func lockFamily(_ id: FamilyID) throws(CloudError) -> TokenFamily? {
        try self.find(Statements.Families.find.locking(), id)
    }

    private func find(_ statement: SQLStatement, _ id: FamilyID) throws(CloudError) -> TokenFamily? {
        try self.first(statement, SQLValue(id)) { row throws(SQLError) in
            try Self.family(try row.familyID(), &row)
        }
    }

    func insert(_ family: TokenFamily) throws(CloudError) {
        try self.execute(
            Statements.Families.insert,
            SQLValue(family.id),
            SQLValue(family.uid),
            SQLValue(family.di),
            .text(family.kind.rawValue),
            .text(family.state.rawValue),
            SQLValue(family.generation),
            SQLValue(family.confirmedAt),
            SQLValue(family.sealedReply),
            SQLValue(family.sealedUntil),
        )
    }

    func update(_ family: TokenFamily) throws(CloudError) {
        try self.execute(
            Statements.Families.update,
            .text(family.state.rawValue),
            SQLValue(family.generation),
            SQLValue(family.confirmedAt),
            SQLValue(family.sealedReply),
            SQLValue(family.sealedUntil),
            SQLValue(family.id),
        )
    }

    func families(of di: DeviceID) throws(CloudError) -> [FamilyID] {
        try self.all(Statements.Families.ofDevice, SQLValue(di)) { row throws(SQLError) in try row.familyID() }
    }

    func deleteFamily(_ id: FamilyID) throws(CloudError) {
        try self.execute(Statements.Families.delete, SQLValue(id))
    }
}
