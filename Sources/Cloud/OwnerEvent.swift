/// Something an owner may want to know of.
package struct OwnerEvent: Hashable, Sendable {
    package enum Kind: String, Hashable, Sendable, CaseIterable {
        /// A refresh token was used a second time.
        case tokenReuse = "token.reuse"
        /// Two peers take the device from each other.
        case deviceContested = "device.contested"
        case deviceSignedIn = "device.signed-in"
        case deviceSignedOut = "device.signed-out"
        case linksPublished = "links.published"
        case linksUnpublished = "links.unpublished"
        /// Links that were published are other than they were.
        case linksChanged = "links.changed"
        case deviceDeleted = "device.deleted"
    }

    package var kind: Kind
    package var di: DeviceID?
    package var at: Timestamp
    /// What happened, in a sentence without secrets.
    package var text: String

    package init(kind: Kind, di: DeviceID?, at: Timestamp, text: String) {
        self.kind = kind
        self.di = di
        self.at = at
        self.text = text
    }
}

/// An event with its place in the owner's log.
package struct LoggedEvent: Hashable, Sendable {
    /// Grows within one owner's log; to be given back as it is.
    package let id: String
    package let event: OwnerEvent

    package init(id: String, event: OwnerEvent) {
        self.id = id
        self.event = event
    }
}
