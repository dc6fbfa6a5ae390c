import Cloud

/// A bounded number of principals by the hash of their token; the one that was used longest ago gives way. Of a family
/// only the token that came last: once that was used, those before it are good for nothing. Knows no clock and no
/// changes.
struct RecentPrincipals: Sendable {
    struct Entry: Hashable, Sendable {
        let cached: CachedPrincipal
        /// When the token runs out; nil: never.
        let endsAt: ContinuousClock.Instant?
        let keptUntil: ContinuousClock.Instant
    }

    private struct Node: Sendable {
        var entry: Entry
        var older: SecretHash?
        var newer: SecretHash?
    }

    private let capacity: Int
    private var nodes: [SecretHash: Node] = [:]
    private var ofFamily: [FamilyID: SecretHash] = [:]
    private var oldest: SecretHash?
    private var newest: SecretHash?

    init(capacity: Int) {
        self.capacity = max(1, capacity)
    }

    var count: Int { self.nodes.count }

    mutating func find(_ hash: SecretHash) -> Entry? {
        guard let entry = self.nodes[hash]?.entry else { return nil }
        // Where one client asks all the time it need not change its place.
        if hash == self.newest { return entry }
        self.unlink(hash)
        self.link(hash, entry)
        return entry
    }

    /// Which token of a family is kept.
    func token(of family: FamilyID) -> SecretHash? { self.ofFamily[family] }

    mutating func keep(_ entry: Entry, for hash: SecretHash) {
        self.remove(hash)
        let family = entry.cached.principal.family
        if let family, let before = self.ofFamily[family] { self.remove(before) }
        if self.nodes.count >= self.capacity, let oldest = self.oldest { self.remove(oldest) }
        self.link(hash, entry)
        if let family { self.ofFamily[family] = hash }
    }

    mutating func remove(_ hash: SecretHash) {
        guard let entry = self.unlink(hash), let family = entry.cached.principal.family else { return }
        self.ofFamily[family] = nil
    }

    mutating func removeAll() {
        self.nodes = [:]
        self.ofFamily = [:]
        self.oldest = nil
        self.newest = nil
    }

    @discardableResult
    private mutating func unlink(_ hash: SecretHash) -> Entry? {
        guard let node = self.nodes.removeValue(forKey: hash) else { return nil }
        if let older = node.older { self.nodes[older]?.newer = node.newer } else { self.oldest = node.newer }
        if let newer = node.newer { self.nodes[newer]?.older = node.older } else { self.newest = node.older }
        return node.entry
    }

    private mutating func link(_ hash: SecretHash, _ entry: Entry) {
        if let newest = self.newest { self.nodes[newest]?.newer = hash } else { self.oldest = hash }
        self.nodes[hash] = Node(entry: entry, older: self.newest, newer: nil)
        self.newest = hash
    }
}
