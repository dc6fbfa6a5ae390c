/// A right that was taken away, written in the transaction that took it: whoever keeps sessions or caches follows
/// these.
package struct Change: Hashable, Sendable {
    package enum Kind: String, Sendable, Hashable, CaseIterable {
        /// Subject: the uid. Everything of the user is gone.
        case user
        /// Subject: the uid whose mediator it was.
        case mediator
        /// Subject: the di.
        case client
        /// Subject: the di.
        case device
        /// Subject: the family's id. One login of a device or client is over.
        case family
    }

    /// Grows in the order of commits, without gaps, from one counter row.
    package var sequence: Int64
    package var kind: Kind
    package var subject: String
    package var at: Timestamp

    package init(sequence: Int64, kind: Kind, subject: String, at: Timestamp) {
        self.sequence = sequence
        self.kind = kind
        self.subject = subject
        self.at = at
    }
}
