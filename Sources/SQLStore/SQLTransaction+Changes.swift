import Cloud

extension SQLTransaction {
    func record(_ kind: Change.Kind, subject: String, at now: Timestamp) throws(CloudError) -> Int64 {
        try self.execute(Statements.Changes.advance)
        let sequence = try self.lastSequence()
        try self.execute(
            Statements.Changes.insert, .integer(sequence), .text(kind.rawValue), .text(subject), SQLValue(now))
        return sequence
    }

    func changes(after sequence: Int64, limit: Int) throws(CloudError) -> [Change] {
        try self.all(Statements.Changes.after, .integer(sequence), SQLValue(limit)) { row throws(SQLError) in
            Change(
                sequence: try row.integer(),
                kind: try row.word(Change.Kind.self),
                subject: try row.text(),
                at: try row.moment(),
            )
        }
    }

    func lastSequence() throws(CloudError) -> Int64 {
        try self.first(Statements.Changes.last) { row throws(SQLError) in try row.integer() } ?? 0
    }
}

extension SQLTransaction {
    func sweepCodes(now: Timestamp, limit: Int) throws(CloudError) -> Int {
        let hashes = try self.all(
            Statements.Credentials.sweepable, SQLValue(now), SQLValue(limit)
        ) { row throws(SQLError) in try row.blob() }
        for hash in hashes { try self.execute(Statements.Credentials.delete, .blob(hash)) }
        return hashes.count
    }

    func sweepSealedReplies(now: Timestamp, limit: Int) throws(CloudError) -> Int {
        let families = try self.all(
            Statements.Families.sweepable, SQLValue(now), SQLValue(limit)
        ) { row throws(SQLError) in try row.familyID() }
        for family in families { try self.execute(Statements.Families.eraseReply, SQLValue(family)) }
        return families.count
    }

    func sweepLinks(now: Timestamp, limit: Int) throws(CloudError) -> Int {
        let links = try self.all(
            Statements.Links.sweepable, SQLValue(now), SQLValue(limit)
        ) { row throws(SQLError) in (try row.deviceID(), try row.number()) }
        for (di, ins) in links { try self.deleteLink(ins, of: di) }
        return links.count
    }

    func sweepChanges(before moment: Timestamp, limit: Int) throws(CloudError) -> Int {
        let sequences = try self.all(
            Statements.Changes.sweepable, SQLValue(moment), SQLValue(limit)
        ) { row throws(SQLError) in try row.integer() }
        for sequence in sequences { try self.execute(Statements.Changes.delete, .integer(sequence)) }
        return sequences.count
    }
}
