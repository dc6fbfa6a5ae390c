package import CBOR
package import Cloud
package import CoAP
import NIOCore

/// What `POST /oic/rd` carries: a device's links (OCF Core, oic.wk.rd).
///
/// The answer is the same map with the cloud's `ins` in each link, so the received item is kept.
package struct Publication: Sendable {
    /// The device named in the payload.
    package let di: DeviceID
    package let links: [LinkDraft]
    /// Nil: the links never expire, which devices say with 0.
    package let ttl: Duration?
    /// What the device calls itself.
    package let name: String?
    private let received: DataItem

    /// - Throws: 4.00 that names the field; 4.03 for links of another device; 4.13 for too many or too large ones.
    package init(_ item: DataItem) throws(PayloadError) {
        let fields = try Fields(item)
        self.received = item
        let di = try fields.device("di")
        self.di = di
        self.ttl = try Self.ttl(fields)
        self.name = try fields.optionalText("n", maximumBytes: 256)
        guard let links = fields["links"] else { throw fields.error("links", "is missing") }
        guard let elements = links.elements else {
            throw fields.error("links", "is \(links.kind): send an array of maps")
        }
        guard !elements.isEmpty else { throw fields.error("links", "is empty") }
        guard elements.count <= Directory.maximumLinks else {
            throw fields.error(
                "links", "has \(elements.count) links: publish at most \(Directory.maximumLinks) at a time",
                code: .requestEntityTooLarge)
        }
        var drafts: [LinkDraft] = []
        for (index, element) in elements.enumerated() {
            drafts.append(try Self.draft(Fields(element, prefix: "links[\(index)]."), of: di))
        }
        self.links = drafts
    }

    private static func ttl(_ fields: Fields) throws(PayloadError) -> Duration? {
        // `lt` is what stacks before OCF 1.3 call it.
        let key = fields["ttl"] == nil && fields["lt"] != nil ? "lt" : "ttl"
        let seconds = try fields.integer(key)
        guard seconds >= 0 else { throw fields.error(key, "is negative: send seconds, or 0 for no expiry") }
        return seconds == 0 ? nil : .seconds(seconds)
    }

    private static func draft(_ fields: Fields, of di: DeviceID) throws(PayloadError) -> LinkDraft {
        try Self.checkOwner(fields, di)
        if let ins = fields["ins"] {
            guard case .unsigned = ins else { throw fields.error("ins", "is not an integer of 0 or more") }
        }
        return LinkDraft(
            href: try Self.href(fields),
            resourceTypes: try fields.texts(
                "rt", maximumCount: LinkDraft.maximumWords, maximumBytes: LinkDraft.maximumWordBytes),
            interfaces: try fields.texts(
                "if", maximumCount: LinkDraft.maximumWords, maximumBytes: LinkDraft.maximumWordBytes),
            policy: try Self.policy(fields),
            attributes: try Self.attributes(fields),
        )
    }

    /// The path of a link: runs of slashes become one, and none is left at the end.
    private static func href(_ fields: Fields) throws(PayloadError) -> String {
        let text = try fields.text("href")
        guard text.utf8.first == UInt8(ascii: "/") else { throw fields.error("href", "does not begin with /") }
        for scalar in text.unicodeScalars where scalar.properties.generalCategory == .control {
            throw fields.error("href", "has a control character: remove it")
        }
        let segments = text.split(separator: "/")
        guard !segments.isEmpty else { throw fields.error("href", "names no resource") }
        // Such a segment could not be asked for: a request with it is refused (RFC 7252 §5.10.1).
        guard !segments.contains("."), !segments.contains("..") else {
            throw fields.error("href", "has a segment . or ..")
        }
        let href = "/" + segments.joined(separator: "/")
        guard href.utf8.count <= LinkDraft.maximumHrefBytes else {
            throw fields.error(
                "href", "has \(href.utf8.count) bytes: at most \(LinkDraft.maximumHrefBytes) are taken",
                code: .requestEntityTooLarge)
        }
        return href
    }

    /// Unspecified: a link without `p` or `bm` is discoverable and nothing else.
    private static func policy(_ fields: Fields) throws(PayloadError) -> LinkPolicy {
        guard let p = fields["p"] else { return .discoverable }
        let inside = try Fields(p, prefix: fields.prefix + "p.")
        guard let bitmap = try inside.optionalInteger("bm") else { return .discoverable }
        guard (0...0xFFFF).contains(bitmap) else { throw inside.error("bm", "is out of range") }
        return LinkPolicy(rawValue: Int(bitmap))
    }

    private static func checkOwner(_ fields: Fields, _ di: DeviceID) throws(PayloadError) {
        if let owner = try fields.optionalDevice("di"), owner != di {
            throw fields.error("di", "names another device", code: .forbidden)
        }
        guard let anchor = try fields.optionalText("anchor"), anchor.lowercased().hasPrefix("ocf://") else { return }
        let authority = anchor.dropFirst("ocf://".count).prefix { $0 != "/" && $0 != "?" && $0 != "#" }
        guard let owner = try? DeviceID(String(authority)), owner == di else {
            throw fields.error("anchor", "names another device", code: .forbidden)
        }
    }

    /// What links have that only discovery hands on: everything but what is a property of its own, and what the cloud
    /// says itself.
    private static func attributes(_ fields: Fields) throws(PayloadError) -> [UInt8] {
        let own: Set<DataItem> = ["href", "rt", "if", "p", "ins", "anchor", "di", "eps"]
        let rest = (fields.item.pairs ?? []).filter { !own.contains($0.key) }
        guard !rest.isEmpty else { return [] }
        let encoded = DataItem.map(rest).encoded()
        guard encoded.readableBytes <= LinkDraft.maximumAttributeBytes else {
            throw PayloadError(
                .requestEntityTooLarge,
                "\(fields.prefix.dropLast()) has \(encoded.readableBytes) bytes besides href, rt, if and p: at most "
                    + "\(LinkDraft.maximumAttributeBytes) are taken",
                field: String(fields.prefix.dropLast()))
        }
        return Array(encoded.readableBytesView)
    }

    /// The answer: what was received, with `ins` of the link at the same place in each. A device without the integer
    /// takes the link for unpublished.
    package func answer(ins: [Int]) -> DataItem {
        guard let pairs = self.received.pairs else { return self.received }
        return .map(
            pairs.map { pair in
                guard pair.key == "links", let links = pair.value.elements else { return pair }
                return .init(pair.key, .array(zip(links, ins).map { Self.numbered($0, $1) }))
            })
    }

    private static func numbered(_ link: DataItem, _ ins: Int) -> DataItem {
        var pairs = link.pairs ?? []
        if let index = pairs.firstIndex(where: { $0.key == "ins" }) {
            pairs[index].value = DataItem(integer: Int64(ins))
        } else {
            pairs.append(.init("ins", DataItem(integer: Int64(ins))))
        }
        return .map(pairs)
    }
}

/// The queries of `DELETE /oic/rd`.
package struct Unpublication: Hashable, Sendable {
    package let di: DeviceID
    /// Empty: all links of the device.
    package let ins: [Int]

    /// - Throws: 4.00 for a missing or repeated `di` and for an `ins` that is no number.
    package init(_ options: Options) throws(PayloadError) {
        let query = try Query(options)
        guard let di = try query.device("di") else { throw PayloadError(.badRequest, "di is missing", field: "di") }
        self.di = di
        var numbers: [Int] = []
        for text in query.all("ins") {
            guard let number = UInt64(text) else {
                throw PayloadError(.badRequest, "ins is not an integer of 0 or more", field: "ins")
            }
            // A number beyond what we assign is a number all the same: it matches nothing.
            numbers.append(Int(exactly: number) ?? .max)
        }
        self.ins = numbers
    }
}
