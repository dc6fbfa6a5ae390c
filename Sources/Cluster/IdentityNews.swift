package import Cloud
package import Logging
import ServiceShell

/// Tells operators and owners what the rules of identity have noticed, and whoever keeps sessions in this process which
/// of them are over.
package struct IdentityNews: Sendable {
    private let events: (any EventHistory)?
    private let clock: any WallClock
    private let logger: Logger
    private let endSessions: @Sendable ([DeviceID], String) -> Void

    /// - Parameters:
    ///   - events: where owners learn of it; nil: nowhere.
    ///   - endSessions: is told whose sessions to end, and why; must return at once. Sessions in other processes end by
    ///     the change log.
    package init(
        events: (any EventHistory)?, clock: any WallClock, logger: Logger,
        endSessions: @escaping @Sendable (_ devices: [DeviceID], _ reason: String) -> Void = { _, _ in }
    ) {
        self.events = events
        self.clock = clock
        self.logger = logger
        self.endSessions = endSessions
    }

    package func tell(_ event: IdentityEvent) {
        switch event {
        case .tokenReuse(let uid, let di, _, let sessionEnds):
            let outcome = sessionEnds ? "revoked" : "renewed"
            self.logger.warning(
                "refresh token used again: the family is \(outcome)",
                metadata: .init([.userID: uid.text, .deviceID: di.text, .reason: OwnerEvent.Kind.tokenReuse.rawValue]))
            self.append(.tokenReuse, di, of: uid, Self.text(di, isOver: sessionEnds))
            if sessionEnds {
                self.endSessions([di], "the token was used by somebody else too: sign up again")
            }
        case .registrationReplaced(_, let di, _):
            self.endSessions([di], "this device was registered anew: sign in with its new token")
        case .deviceDeleted(let uid, let di, let kind):
            self.append(.deviceDeleted, di, of: uid, "the \(kind.rawValue) \(di) was deleted")
        case .userBegun(let uid), .userDeleted(let uid):
            self.events?.forget(uid)
        }
    }

    package func tell(_ event: DirectoryEvent) {
        switch event {
        case .published(let uid, let di, let hrefs):
            self.append(.linksPublished, di, of: uid, "\(di) has published \(hrefs.joined(separator: ", "))")
        case .changed(let uid, let di, let hrefs):
            self.append(.linksChanged, di, of: uid, "\(di) has changed \(hrefs.joined(separator: ", "))")
        case .unpublished(let uid, let di, let hrefs):
            self.append(.linksUnpublished, di, of: uid, "\(di) has taken back \(hrefs.joined(separator: ", "))")
        }
    }

    private func append(_ kind: OwnerEvent.Kind, _ di: DeviceID, of uid: UserID, _ text: String) {
        self.events?.append(OwnerEvent(kind: kind, di: di, at: self.clock.now(), text: text), of: uid)
    }

    private static func text(_ di: DeviceID, isOver: Bool) -> String {
        isOver
            ? "a refresh token of \(di) was used a second time, as a stolen one would be: its login is over, and it has "
                + "to be provisioned again"
            : "a refresh token of \(di) was used a second time; REFRESH_REUSE or its certificate let it go on"
    }
}
