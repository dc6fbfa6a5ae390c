extension LinkDraft {
    package static let maximumHrefBytes = 256
    package static let maximumWordBytes = 64
    package static let maximumWords = 64
    package static let maximumAttributeBytes = 4096

    /// The link with its href normalised: no `//`, no `/` at the end.
    ///
    /// - Throws: `badRequest` that names the key at fault.
    func checked() throws(CloudError) -> LinkDraft {
        guard self.href.utf8.first == UInt8(ascii: "/"), self.href.utf8.count <= Self.maximumHrefBytes else {
            throw CloudError(
                .badRequest, "an href must begin with / and have at most \(Self.maximumHrefBytes) bytes", field: "href")
        }
        guard !self.href.unicodeScalars.contains(where: { $0.properties.generalCategory == .control }) else {
            throw CloudError(.badRequest, "an href has a control character", field: "href")
        }
        for (field, words) in [("rt", self.resourceTypes), ("if", self.interfaces)] {
            guard words.count <= Self.maximumWords, words.allSatisfy({ $0.utf8.count <= Self.maximumWordBytes }) else {
                throw CloudError(
                    .badRequest,
                    "\(field) of \(self.href) may have \(Self.maximumWords) words of \(Self.maximumWordBytes) bytes",
                    field: field)
            }
        }
        guard 0...0xFFFF ~= self.policy.rawValue else {
            throw CloudError(.badRequest, "p.bm of \(self.href) is out of range: 0 to 65535", field: "p")
        }
        guard self.attributes.count <= Self.maximumAttributeBytes else {
            throw CloudError(
                .tooLarge, "the other keys of \(self.href) take more than \(Self.maximumAttributeBytes) bytes",
                field: "links")
        }
        var draft = self
        draft.href = Self.normalised(self.href)
        return draft
    }

    private static func normalised(_ href: String) -> String {
        var bytes: [UInt8] = []
        for byte in href.utf8 where byte != UInt8(ascii: "/") || bytes.last != UInt8(ascii: "/") {
            bytes.append(byte)
        }
        if bytes.count > 1, bytes.last == UInt8(ascii: "/") { bytes.removeLast() }
        return String(decoding: bytes, as: UTF8.self)
    }
}

extension Link {
    init(_ draft: LinkDraft, ins: Int, expiresAt: Timestamp?) {
        self.init(
            href: draft.href,
            resourceTypes: draft.resourceTypes,
            interfaces: draft.interfaces,
            policy: draft.policy,
            ins: ins,
            expiresAt: expiresAt,
            attributes: draft.attributes,
        )
    }

    /// True when a store would keep the very same bytes.
    func isSame(as other: Link) -> Bool {
        self == other && self.href.exact == other.href.exact
            && self.resourceTypes.map(\.exact) == other.resourceTypes.map(\.exact)
            && self.interfaces.map(\.exact) == other.interfaces.map(\.exact)
    }

    /// Nobody finds what has expired.
    func isOver(at now: Timestamp) -> Bool {
        self.expiresAt.map { $0 <= now } ?? false
    }

    /// True when whoever looks finds the same, but for how long it stays.
    func shows(as other: Link) -> Bool {
        var renewed = self
        renewed.expiresAt = other.expiresAt
        return renewed.isSame(as: other)
    }
}
