import Cloud

/// Rights that were taken away a short while ago, so that a sign-in that was granted just before does not begin a
/// session without a right. Bounded: what is forgotten, or was missed, counts as taken from everybody who asked before.
struct Revocations {
    /// Whose right it was.
    enum Subject: Hashable {
        case device(DeviceID)
        case user(UserID)
        case family(FamilyID)
    }

    private struct Entry {
        let revision: UInt64
        /// The place in the change log, nil if it is not from there.
        let sequence: Int64?
    }

    /// More than these are not remembered: whoever signs in at that moment has to do so again.
    static let maximum = 4096

    /// Counts how often a right was taken away.
    private(set) var revision: UInt64 = 0
    private var entries: [Subject: Entry] = [:]
    private var forgotten: UInt64 = 0
    /// What was taken away without our knowing whose it was.
    private var missed: Entry?

    mutating func add(_ subject: Subject, sequence: Int64?) {
        self.revision += 1
        if self.entries.count >= Self.maximum {
            self.entries = [:]
            self.forgotten = self.revision
        }
        self.entries[subject] = Entry(revision: self.revision, sequence: sequence)
    }

    /// Changes up to `sequence` were missed: what was granted without knowing of that one may be taken away.
    mutating func add(missedUpTo sequence: Int64) {
        self.revision += 1
        self.missed = Entry(revision: self.revision, sequence: max(sequence, self.missed?.sequence ?? sequence))
    }

    /// Whether the right to the session was taken away after `askedAt`, when the registry was asked for it.
    func hit(_ session: Session, askedAt: UInt64) -> Bool {
        if self.forgotten > askedAt { return true }
        var entries = [self.missed, self.entries[.device(session.di)], self.entries[.user(session.uid)]]
        if let family = session.family { entries.append(self.entries[.family(family)]) }
        return entries.contains { entry in
            guard let entry, entry.revision > askedAt else { return false }
            return session.isHit(by: entry.sequence)
        }
    }
}

extension Session {
    /// Whether a change with this place in the log can have taken the session's right. One that the registry knew of
    /// when it granted the sign-in has not.
    func isHit(by sequence: Int64?) -> Bool {
        guard let sequence, let known = self.sequence else { return true }
        return sequence > known
    }
}
