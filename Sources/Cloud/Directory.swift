/// Which resources devices have published, and which devices there are.
package struct Directory: Sendable {
    /// Links one device may have published.
    package static let maximumLinks = 1000
    /// Devices or links on one page.
    package static let pageLimits = 1...1000
    /// The greatest number of a link: what the smallest peers keep in 31 bits.
    package static let maximumIns = Int(Int32.max)

    let store: any CloudStore
    let clock: any WallClock
    let observer: @Sendable (DirectoryEvent) -> Void

    /// - Parameter observer: is told after the commit; must return at once.
    package init(
        store: any CloudStore, clock: any WallClock = SystemWallClock(),
        observer: @escaping @Sendable (DirectoryEvent) -> Void = { _ in }
    ) {
        self.store = store
        self.clock = clock
        self.observer = observer
    }

    /// Adds links or replaces those with the same href; others stay (OCF CNC, POST rd). All of them or none.
    ///
    /// An href keeps its number as long as it is published; a number that became free is not given out again before
    /// all others were, so that a late deletion cannot hit a newer link.
    ///
    /// - Parameters:
    ///   - ttl: how long they stay, nil for ever; publishing again renews it.
    ///   - name: what the device calls itself, if it says so.
    /// - Returns: the numbers (`ins`) in the order of `links`.
    /// - Throws: `badRequest` for a link that breaks a rule, `tooLarge` beyond 1000 links, `notFound` when the device
    /// is
    ///   not signed up.
    package func publish(
        di: DeviceID, links: [LinkDraft], ttl: Duration?, name: String? = nil
    ) async throws(CloudError) -> [Int] {
        guard !links.isEmpty else { throw CloudError(.badRequest, "links is empty: name at least one", field: "links") }
        guard links.count <= Self.maximumLinks else { throw Self.tooManyLinks() }
        if let ttl, ttl <= .zero {
            throw CloudError(.badRequest, "ttl must be positive, or 0 for ever", field: "ttl")
        }
        let drafts = try links.map { draft throws(CloudError) in try draft.checked() }
        let name = try name.map { name throws(CloudError) in try Self.checked(name) }
        let now = self.clock.now()
        let expiresAt = ttl.map { now + $0 }
        let (uid, published) = try await self.store.write { transaction throws(CloudError) in
            guard let known = try transaction.lockDevice(di) else {
                throw CloudError(.notFound, "\(di) is not signed up", field: "di")
            }
            var device = known
            if let name { device.name = name }
            let published = try Self.publish(drafts, expiresAt: expiresAt, of: &device, in: transaction, now: now)
            if device.lastIns != known.lastIns || device.name?.exact != known.name?.exact {
                try transaction.update(device)
            }
            return (device.uid, published)
        }
        if !published.new.isEmpty { self.observer(.published(uid: uid, di: di, hrefs: published.new)) }
        if !published.changed.isEmpty { self.observer(.changed(uid: uid, di: di, hrefs: published.changed)) }
        return published.ins
    }

    /// The numbers of all links, and the paths of those that are new and of those that were replaced by others.
    private typealias Published = (ins: [Int], new: [String], changed: [String])

    private static func publish(
        _ drafts: [LinkDraft], expiresAt: Timestamp?, of device: inout Device, in transaction: any CloudTransaction,
        now: Timestamp
    ) throws(CloudError) -> Published {
        let di = device.di
        var known: [[UInt8]: Link] = [:]
        var taken: Set<Int> = []
        for link in try transaction.links(of: di) {
            known[link.href.exact] = link
            taken.insert(link.ins)
        }
        // The same href twice: the last one counts, both get its number.
        var wanted: [[UInt8]: Link] = [:]
        var order: [[UInt8]] = []
        for draft in drafts {
            let key = draft.href.exact
            let ins: Int
            if let number = wanted[key]?.ins ?? known[key]?.ins {
                ins = number
            } else {
                ins = self.nextIns(after: device.lastIns, taken: taken)
                taken.insert(ins)
                device.lastIns = ins
            }
            if wanted[key] == nil { order.append(key) }
            wanted[key] = Link(draft, ins: ins, expiresAt: expiresAt)
        }
        guard taken.count <= self.maximumLinks else { throw self.tooManyLinks() }
        var new: [String] = []
        var changed: [String] = []
        for key in order {
            guard let link = wanted[key] else { continue }
            if let old = known[key] {
                if !old.isSame(as: link) { try transaction.update(link, of: di) }
                if old.isOver(at: now) {
                    new.append(link.href)
                } else if !old.shows(as: link) {
                    changed.append(link.href)
                }
            } else {
                try transaction.insert(link, of: di)
                new.append(link.href)
            }
        }
        return (drafts.map { wanted[$0.href.exact]?.ins ?? 0 }, new, changed)
    }

    /// The next number that is not taken; after the greatest comes 1 again. There is always one, as a device has far
    /// fewer links than there are numbers.
    static func nextIns(after last: Int, taken: Set<Int>) -> Int {
        var next = last
        repeat {
            next = next >= self.maximumIns ? 1 : next + 1
        } while taken.contains(next)
        return next
    }

    /// Takes links back (OCF CNC, DELETE rd).
    ///
    /// - Parameter ins: their numbers; empty means all of the device.
    /// - Returns: how many went.
    /// - Throws: `notFound` when none of them is there.
    package func unpublish(di: DeviceID, ins: [Int]) async throws(CloudError) -> Int {
        let wanted = Set(ins)
        let (uid, gone) = try await self.store.write { transaction throws(CloudError) in
            guard let device = try transaction.lockDevice(di) else {
                throw CloudError(.notFound, "\(di) is not signed up", field: "di")
            }
            var gone: [String] = []
            for link in try transaction.links(of: di) where wanted.isEmpty || wanted.contains(link.ins) {
                try transaction.deleteLink(link.ins, of: di)
                gone.append(link.href)
            }
            guard !gone.isEmpty else {
                throw CloudError(.notFound, "\(di) has published no such link", field: ins.isEmpty ? "di" : "ins")
            }
            return (device.uid, gone)
        }
        self.observer(.unpublished(uid: uid, di: di, hrefs: gone))
        return gone.count
    }

    /// A page of the links of a user's devices that have not expired, discoverable or not, by di and number.
    ///
    /// - Parameters:
    ///   - devices: only these; empty means all.
    ///   - after: the last link of the page before; nil for the first page.
    ///   - limit: 1…1000.
    package func links(
        of uid: UserID, devices: Set<DeviceID> = [], after: LinkCursor?, limit: Int
    ) async throws(CloudError) -> [(di: DeviceID, link: Link)] {
        let now = self.clock.now()
        let limit = min(max(limit, Self.pageLimits.lowerBound), Self.pageLimits.upperBound)
        return try await self.store.read { transaction throws(CloudError) in
            try transaction.links(of: uid, devices: devices, after: after, now: now, limit: limit)
                .map { (di: $0.0, link: $0.1) }
        }
    }

    /// A device or client, whoever owns it; nil when none of this id has signed up.
    package func device(_ di: DeviceID) async throws(CloudError) -> Device? {
        try await self.store.ask { transaction throws(CloudError) in try transaction.device(di) }
    }

    /// A page of a user's devices (and clients, unless a kind is asked for) in byte order of their ids. The last di is
    /// the cursor: what comes and goes meanwhile makes nobody appear twice or drop out.
    ///
    /// - Parameters:
    ///   - after: the last di of the page before; nil for the first page.
    ///   - limit: 1…1000.
    package func devices(
        of uid: UserID, kind: DeviceKind? = nil, after: DeviceID?, limit: Int
    ) async throws(CloudError) -> [Device] {
        guard Self.pageLimits.contains(limit) else {
            throw CloudError(
                .badRequest,
                "limit is \(limit): \(Self.pageLimits.lowerBound) to \(Self.pageLimits.upperBound) are allowed",
                field: "limit")
        }
        return try await self.store.ask { transaction throws(CloudError) in
            try transaction.devices(of: uid, kind: kind, after: after, limit: limit)
        }
    }

    private static func tooManyLinks(file: String = #fileID, line: Int = #line) -> CloudError {
        CloudError(
            .tooLarge, "a device may publish \(self.maximumLinks) links: take some back first", field: "links",
            file: file, line: line)
    }

    private static func checked(_ name: String) throws(CloudError) -> String {
        guard name.utf8.count <= 256 else {
            throw CloudError(.badRequest, "n has more than 256 bytes", field: "n")
        }
        return name
    }
}
