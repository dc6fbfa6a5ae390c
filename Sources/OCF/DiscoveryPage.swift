package import CBOR
package import Cloud
package import CoAP

extension RegistryProtocol {
    /// How large an answer may get before it is cut, in bytes of payload.
    package static let pageBytes = 64 * 1024
}

/// One page of the answer of `GET /oic/res`: takes links in their order until the page is full.
package struct DiscoveryPage: Sendable {
    /// What stands around the links, at most: the head, or the id of a group.
    private static let frameBytes = 256

    private let request: DiscoveryRequest
    private let endpoint: String?
    private let format: ContentFormat
    private let maximumBytes: Int
    private var links: [(DeviceID, [Link])] = []
    private var bytes = frameBytes

    package init(
        _ request: DiscoveryRequest, endpoint: String?, format: ContentFormat,
        maximumBytes: Int = RegistryProtocol.pageBytes
    ) {
        self.request = request
        self.endpoint = endpoint
        self.format = format
        self.maximumBytes = maximumBytes
    }

    /// - Returns: false if the page is full: the link is the first of the next one. Links that are not asked for take
    ///   no room.
    package mutating func add(_ link: Link, of di: DeviceID) -> Bool {
        guard self.request.lists(link) else { return true }
        let isNewGroup = self.links.last?.0 != di
        let size =
            Discovery.size(self.request, link, of: di, endpoint: self.endpoint, format: self.format)
            + (isNewGroup ? Self.frameBytes : 0)
        guard self.links.isEmpty || self.bytes + size <= self.maximumBytes else { return false }
        self.bytes += size
        if isNewGroup {
            self.links.append((di, [link]))
        } else {
            self.links[self.links.count - 1].1.append(link)
        }
        return true
    }

    package func answer() -> DataItem {
        Discovery.answer(self.request, links: self.links, endpoint: self.endpoint, format: self.format)
    }
}

/// Pages joined to one answer: of `GET /oic/res` in each of its forms, and of every list.
package struct JoinedPages: Sendable {
    private var elements: [DataItem] = []
    /// How many links or devices there are so far.
    package private(set) var count = 0

    package init() {}

    /// - Returns: false if the page is no list.
    package mutating func add(_ page: DataItem) -> Bool {
        guard var new = page.elements else { return false }
        self.count += new.reduce(0) { $0 + (Self.links(of: $1)?.count ?? 1) }
        // Links of one device or one collection that stand in two pages stand together again.
        if let last = self.elements.last, let first = new.first, let joined = Self.join(last, first) {
            self.elements[self.elements.count - 1] = joined
            new.removeFirst()
        }
        self.elements += new
        return true
    }

    package var item: DataItem { .array(self.elements) }

    private static func links(of item: DataItem) -> [DataItem]? { item["links"]?.elements }

    /// Two maps that differ in their `links` alone, as one.
    private static func join(_ one: DataItem, _ other: DataItem) -> DataItem? {
        guard let pairs = one.pairs, let others = other.pairs, let before = self.links(of: one),
            let after = self.links(of: other)
        else { return nil }
        let isLinks: (DataItem.Pair) -> Bool = { $0.key == "links" }
        guard pairs.filter({ !isLinks($0) }) == others.filter({ !isLinks($0) }) else { return nil }
        return .map(pairs.map { isLinks($0) ? .init($0.key, .array(before + after)) : $0 })
    }
}

/// A place in the list of `GET registry/devices`, and how many devices are still wanted: `count/di`.
package struct DevicesCursor: Hashable, Sendable {
    package let remaining: Int
    package let after: DeviceID

    package init(remaining: Int, after: DeviceID) {
        self.remaining = remaining
        self.after = after
    }

    package init?(_ text: String) {
        // An id has no slash.
        let parts = text.split(separator: "/", omittingEmptySubsequences: false)
        guard parts.count == 2, let remaining = Int(parts[0]), RegistryProtocol.pageLimits.contains(remaining),
            !parts[1].isEmpty
        else { return nil }
        self.init(remaining: remaining, after: DeviceID(stored: String(parts[1])))
    }

    package var text: String { "\(self.remaining)/\(self.after.text)" }
}
