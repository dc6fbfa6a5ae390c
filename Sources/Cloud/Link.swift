/// The policy bitmap `bm` of a link (OCF Core, property `p`). Bits without a name are kept as they came.
package struct LinkPolicy: OptionSet, Hashable, Sendable {
    package let rawValue: Int

    package init(rawValue: Int) {
        self.rawValue = rawValue
    }

    package static let discoverable = LinkPolicy(rawValue: 1)
    package static let observable = LinkPolicy(rawValue: 2)
}

/// A link as a device publishes it: everything but what the cloud assigns.
package struct LinkDraft: Hashable, Sendable {
    /// The path on the device, beginning with `/`, at most 256 bytes.
    package var href: String
    /// `rt`, each at most 64 bytes.
    package var resourceTypes: [String]
    /// `if`, each at most 64 bytes.
    package var interfaces: [String]
    /// `p.bm`. Unspecified: a link without `p` is discoverable and nothing else.
    package var policy: LinkPolicy
    /// The other keys of the link as one encoded CBOR map, which nothing here looks into; empty when there are none.
    package var attributes: [UInt8]

    package init(
        href: String,
        resourceTypes: [String],
        interfaces: [String],
        policy: LinkPolicy = .discoverable,
        attributes: [UInt8] = [],
    ) {
        self.href = href
        self.resourceTypes = resourceTypes
        self.interfaces = interfaces
        self.policy = policy
        self.attributes = attributes
    }
}

/// A published link.
package struct Link: Hashable, Sendable {
    package var href: String
    package var resourceTypes: [String]
    package var interfaces: [String]
    package var policy: LinkPolicy
    /// The cloud's number of the link: unique for its device, the same as long as the link is published.
    package var ins: Int
    /// When it drops out of the directory; nil: never.
    package var expiresAt: Timestamp?
    /// See `LinkDraft.attributes`.
    package var attributes: [UInt8]

    package init(
        href: String,
        resourceTypes: [String],
        interfaces: [String],
        policy: LinkPolicy = .discoverable,
        ins: Int,
        expiresAt: Timestamp? = nil,
        attributes: [UInt8] = [],
    ) {
        self.href = href
        self.resourceTypes = resourceTypes
        self.interfaces = interfaces
        self.policy = policy
        self.ins = ins
        self.expiresAt = expiresAt
        self.attributes = attributes
    }
}
