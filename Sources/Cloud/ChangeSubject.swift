/// Whose right a change took, in a form that compares as ids do.
package enum ChangeSubject: Hashable, Sendable {
    case user(UserID)
    /// The user whose mediators they are.
    case mediator(UserID)
    /// A device or a client: one id is never both.
    case device(DeviceID)
    case family(FamilyID)
}

extension Change {
    package var named: ChangeSubject {
        switch self.kind {
        case .user: .user(UserID(stored: self.subject))
        case .mediator: .mediator(UserID(stored: self.subject))
        case .client, .device: .device(DeviceID(stored: self.subject))
        case .family: .family(FamilyID(stored: self.subject))
        }
    }
}

extension Principal {
    /// A change that names one of these makes the principal worthless.
    package var subjects: [ChangeSubject] {
        var subjects: [ChangeSubject] = [.user(self.uid)]
        if self.kind == .mediator { subjects.append(.mediator(self.uid)) }
        if let di { subjects.append(.device(di)) }
        if let family { subjects.append(.family(family)) }
        return subjects
    }
}
