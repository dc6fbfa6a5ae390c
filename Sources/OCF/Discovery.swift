package import CBOR
package import Cloud
package import CoAP
import NIOCore

/// The queries of `GET /oic/res` (OCF Core, oic.wk.res): OR within a key, AND across keys, unknown keys ignored.
package struct DiscoveryRequest: Hashable, Sendable {
    /// In which form links are listed.
    package enum Interface: String, Hashable, Sendable, CaseIterable {
        case links = "oic.if.ll"
        case batch = "oic.if.b"
        case baseline = "oic.if.baseline"
    }

    /// Empty: no filter. Text that cannot be an id matches no device.
    package var devices: [String]
    package var resourceTypes: [String]
    package var interface: Interface

    package init(devices: [String] = [], resourceTypes: [String] = [], interface: Interface = .links) {
        self.devices = devices
        self.resourceTypes = resourceTypes
        self.interface = interface
    }

    /// - Throws: 4.00 for a query that is not text. An interface we do not have means the default, as devices do it.
    package init(_ options: Options) throws(PayloadError) {
        let query = try Query(options)
        self.devices = query.all("di")
        self.resourceTypes = query.all("rt")
        self.interface = query.all("if").compactMap(Interface.init(rawValue:)).first ?? .links
    }

    /// The devices to list, nil for all of them; empty when every filter names something that cannot be a device.
    package var deviceFilter: Set<DeviceID>? {
        self.devices.isEmpty ? nil : Set(self.devices.compactMap { try? DeviceID($0) })
    }

    package func lists(_ link: Link) -> Bool {
        link.policy.contains(.discoverable)
            && (self.resourceTypes.isEmpty || !Set(self.resourceTypes).isDisjoint(with: link.resourceTypes))
    }
}

/// Writes the answer of `GET /oic/res`.
package enum Discovery {
    /// - Parameters:
    ///   - links: what the owner's devices have published, by device.
    ///   - endpoint: the address the asking client dialled, textually: it would open a second connection, not signed
    ///     in, for any other. Nil: no `eps`, for whoever does not come over CoAP.
    ///   - format: 60 is answered in the form of OIC 1.1, grouped by device.
    package static func answer(
        _ request: DiscoveryRequest, links: [(DeviceID, [Link])], endpoint: String?, format: ContentFormat
    ) -> DataItem {
        let groups = links.map { di, links in (di, links.filter { request.lists($0) }) }.filter { !$0.1.isEmpty }
        func all() -> [DataItem] {
            groups.flatMap { di, links in links.map { Self.item($0, of: di, endpoint: endpoint) } }
        }
        switch request.interface {
        case .links where format == .cbor:
            return .array(
                groups.map { di, links in
                    .map([
                        "di": .text(di.text),
                        "links": .array(links.map { Self.item($0, of: di, endpoint: endpoint) }),
                    ])
                })
        case .links:
            return .array(all())
        case .baseline:
            return [
                .map([
                    "rt": ["oic.wk.res"],
                    "if": .array(DiscoveryRequest.Interface.allCases.map { .text($0.rawValue) }),
                    "links": .array(all()),
                ])
            ]
        case .batch:
            return .array(groups.flatMap { di, links in links.map { Self.entry($0, of: di) } })
        }
    }

    /// How many bytes a link takes in an answer.
    static func size(
        _ request: DiscoveryRequest, _ link: Link, of di: DeviceID, endpoint: String?, format: ContentFormat
    ) -> Int {
        let item = request.interface == .batch ? self.entry(link, of: di) : self.item(link, of: di, endpoint: endpoint)
        // A comma stands between two of them.
        return (format == .json ? JSONCoding.encode(item) : item.encoded()).readableBytes + 1
    }

    /// `{anchor, href, rt, if, p, eps, ins, …}`.
    private static func item(_ link: Link, of di: DeviceID, endpoint: String?) -> DataItem {
        var pairs: [DataItem.Pair] = [
            .init("anchor", .text("ocf://\(di.text)")),
            .init("href", .text("/\(di.text)\(link.href)")),
        ]
        pairs += Self.properties(link)
        if let endpoint {
            pairs.append(.init("eps", [.map(["ep": .text(endpoint), "pri": 1])]))
        }
        pairs.append(.init("ins", DataItem(integer: Int64(link.ins))))
        pairs.append(.init("di", .text(di.text)))
        if !link.attributes.isEmpty, let rest = try? DataItem(decoding: ByteBuffer(bytes: link.attributes)).pairs {
            let own = Set(pairs.map(\.key))
            pairs += rest.filter { !own.contains($0.key) }
        }
        return .map(pairs)
    }

    /// Unspecified: the cloud has no representations of its devices' resources; a batch lists what it knows of each,
    /// the common properties of its link.
    private static func entry(_ link: Link, of di: DeviceID) -> DataItem {
        .map(["href": .text("/\(di.text)\(link.href)"), "rep": .map(Self.properties(link))])
    }

    private static func properties(_ link: Link) -> [DataItem.Pair] {
        [
            .init("rt", .array(link.resourceTypes.map { .text($0) })),
            .init("if", .array(link.interfaces.map { .text($0) })),
            .init("p", .map(["bm": DataItem(integer: Int64(link.policy.rawValue))])),
        ]
    }

    /// The answer of `GET /oic/rd`. `sel` is a bias among several directories, of which this is the only one.
    package static let directory: DataItem = .map(["rt": ["oic.wk.rd"], "if": ["oic.if.baseline"], "sel": 0])
}
