import Cloud

extension SQLTransaction {
    private static func link(_ row: inout SQLRow) throws(SQLError) -> Link {
        let ins = try row.number()
        return Link(
            href: try row.text(),
            resourceTypes: try Words.decode(try row.blob()),
            interfaces: try Words.decode(try row.blob()),
            policy: LinkPolicy(rawValue: try row.number()),
            ins: ins,
            expiresAt: try row.optionalMoment(),
            attributes: try row.blob(),
        )
    }

    func links(of di: DeviceID) throws(CloudError) -> [Link] {
        try self.all(Statements.Links.ofDevice, SQLValue(di), read: Self.link)
    }

    func links(
        of uid: UserID, devices: Set<DeviceID>, after: LinkCursor?, now: Timestamp, limit: Int
    ) throws(CloudError) -> [(DeviceID, Link)] {
        func read(_ row: inout SQLRow) throws(SQLError) -> (DeviceID, Link) {
            (try row.deviceID(), try Self.link(&row))
        }
        guard !devices.isEmpty else {
            // No id is empty, so every link is behind this place.
            let di = SQLValue.text(after?.di.text ?? "")
            return try self.all(
                Statements.Links.ofAllDevices, SQLValue(uid), SQLValue(now), di, di, SQLValue(after?.ins ?? 0),
                SQLValue(limit), read: read)
        }
        var links: [(DeviceID, Link)] = []
        for di in devices.sorted() where links.count < limit {
            if let after, di < after.di { continue }
            let ins = after?.di == di ? after?.ins ?? 0 : 0
            links += try self.all(
                Statements.Links.ofOneDevice, SQLValue(uid), SQLValue(now), SQLValue(di), SQLValue(ins),
                SQLValue(limit - links.count), read: read)
        }
        return links
    }

    func insert(_ link: Link, of di: DeviceID) throws(CloudError) {
        try self.execute(
            Statements.Links.insert,
            SQLValue(di),
            SQLValue(link.ins),
            .text(link.href),
            .blob(Words.encode(link.resourceTypes)),
            .blob(Words.encode(link.interfaces)),
            SQLValue(link.policy.rawValue),
            SQLValue(link.expiresAt),
            .blob(link.attributes),
        )
    }

    func update(_ link: Link, of di: DeviceID) throws(CloudError) {
        try self.execute(
            Statements.Links.update,
            .text(link.href),
            .blob(Words.encode(link.resourceTypes)),
            .blob(Words.encode(link.interfaces)),
            SQLValue(link.policy.rawValue),
            SQLValue(link.expiresAt),
            .blob(link.attributes),
            SQLValue(di),
            SQLValue(link.ins),
        )
    }

    func deleteLink(_ ins: Int, of di: DeviceID) throws(CloudError) {
        try self.execute(Statements.Links.delete, SQLValue(di), SQLValue(ins))
    }
}

/// A list of words in one column: each with its length in two bytes before it, as any byte may be part of a word.
enum Words {
    static func encode(_ words: [String]) -> [UInt8] {
        var bytes: [UInt8] = []
        for word in words {
            // The directory has bounded them far below 64 KiB.
            let text = Array(word.utf8.prefix(Int(UInt16.max)))
            bytes.append(UInt8(text.count >> 8))
            bytes.append(UInt8(text.count & 0xFF))
            bytes += text
        }
        return bytes
    }

    static func decode(_ bytes: [UInt8]) throws(SQLError) -> [String] {
        var words: [String] = []
        var rest = bytes[...]
        while let high = rest.popFirst() {
            guard let low = rest.popFirst(), rest.count >= Int(high) << 8 | Int(low) else {
                throw SQLError(.damaged, "a list of words is cut short")
            }
            let count = Int(high) << 8 | Int(low)
            words.append(String(decoding: rest.prefix(count), as: UTF8.self))
            rest = rest.dropFirst(count)
        }
        return words
    }
}
