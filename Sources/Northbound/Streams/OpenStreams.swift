package import Cloud
import ServiceShell
import Synchronization

/// The event streams of this process: bounded, and told what ends or concerns them.
package final class OpenStreams: Sendable {
    private struct Entry {
        let subjects: [ChangeSubject]
        /// Whose log it follows, if it follows one.
        let reads: UserID?
        let mailbox: StreamMailbox
    }

    private struct State {
        var entries: [UInt64: Entry] = [:]
        var bySubject: [ChangeSubject: Set<UInt64>] = [:]
        var readers: [UserID: Set<UInt64>] = [:]
        var nextID: UInt64 = 0
        var isQuiescing = false
    }

    private let maximum: Int
    private let maximumPerOwner: Int
    private let state = Mutex(State())
    private let gauge = LevelGauge(label: "http.streams.open")

    package init(maximum: Int = 10_000, maximumPerOwner: Int = 16) {
        self.maximum = maximum
        self.maximumPerOwner = maximumPerOwner
    }

    package var count: Int { self.state.withLock { $0.entries.count } }

    /// A place for one more stream, given back when it is let go.
    /// - Parameter follows: it is told when the owner's log has grown.
    func enter(_ principal: Principal, followsLog follows: Bool = false) throws(Problem) -> StreamPlace {
        let mailbox = StreamMailbox()
        let subjects = principal.subjects
        let owner = principal.uid
        let result: Result<UInt64, Problem> = self.state.withLock { state in
            guard !state.isQuiescing, state.entries.count < self.maximum else {
                return .failure(Problem(.overloaded, retryAfter: 5))
            }
            guard state.bySubject[.user(owner)]?.count ?? 0 < self.maximumPerOwner else {
                return .failure(Problem(.tooManyStreams, retryAfter: 5))
            }
            state.nextID += 1
            let id = state.nextID
            state.entries[id] = Entry(subjects: subjects, reads: follows ? owner : nil, mailbox: mailbox)
            for subject in subjects { state.bySubject[subject, default: []].insert(id) }
            if follows { state.readers[owner, default: []].insert(id) }
            return .success(id)
        }
        let id = try result.get()
        self.gauge.change(by: 1)
        return StreamPlace(mailbox: mailbox) { self.leave(id) }
    }

    private func leave(_ id: UInt64) {
        self.gauge.change(by: -1)
        self.state.withLock { state in
            guard let entry = state.entries.removeValue(forKey: id) else { return }
            for subject in entry.subjects {
                state.bySubject[subject]?.remove(id)
                if state.bySubject[subject]?.isEmpty == true { state.bySubject[subject] = nil }
            }
            guard let owner = entry.reads else { return }
            state.readers[owner]?.remove(id)
            if state.readers[owner]?.isEmpty == true { state.readers[owner] = nil }
        }
    }

    /// Ends the streams whose right was taken away.
    package func end(_ change: Change) {
        self.end(change.named)
    }

    /// Ends the streams of clients that are gone.
    package func end(_ devices: [DeviceID]) {
        for di in devices { self.end(.device(di)) }
    }

    func end(_ subject: ChangeSubject) {
        let gone = self.state.withLock { state in
            (state.bySubject[subject] ?? []).compactMap { state.entries[$0]?.mailbox }
        }
        for mailbox in gone { mailbox.finish(.unauthorized) }
    }

    /// Ends all, so that clients go elsewhere, and lets none in any more.
    func quiesce() {
        let open = self.state.withLock { state in
            state.isQuiescing = true
            return state.entries.values.map(\.mailbox)
        }
        for mailbox in open { mailbox.finish(.quiescing) }
    }

    /// Whose logs are followed.
    var owners: [UserID] { self.state.withLock { Array($0.readers.keys) } }

    /// The owner's log may have grown.
    func hear(_ owner: UserID) {
        let readers = self.state.withLock { state in
            (state.readers[owner] ?? []).compactMap { state.entries[$0]?.mailbox }
        }
        for mailbox in readers { mailbox.putNews() }
    }
}

/// One stream's place among the others.
final class StreamPlace: Sendable {
    let mailbox: StreamMailbox
    private let leave: @Sendable () -> Void

    init(mailbox: StreamMailbox, leave: @escaping @Sendable () -> Void) {
        self.mailbox = mailbox
        self.leave = leave
    }

    deinit { self.leave() }
}
