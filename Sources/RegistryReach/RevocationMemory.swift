import Cloud

/// The changes of late, by whom they name: tells whether something that was read at one moment of the change log still
/// holds. Bounded: what was read before the oldest change that is remembered does not.
struct RevocationMemory: Sendable {
    private let capacity: Int
    private var latest: [ChangeSubject: Int64] = [:]
    /// In the order of their sequences; those before `head` are forgotten.
    private var order: [(sequence: Int64, subject: ChangeSubject)] = []
    private var head = 0
    /// What was read before this sequence may have been taken back without our knowing.
    private var floor: Int64?
    /// The last change that is known.
    private(set) var position: Int64?

    /// - Parameter capacity: how many changes are remembered.
    init(capacity: Int = 65_536) {
        self.capacity = capacity
    }

    /// From here on every change is told; nothing is known of those before.
    mutating func begin(at last: Int64) {
        self.latest = [:]
        self.order = []
        self.head = 0
        self.floor = last
        self.position = last
    }

    /// - Returns: false if it was known already.
    mutating func note(_ change: Change) -> Bool {
        guard let position, change.sequence > position else { return false }
        self.position = change.sequence
        self.latest[change.named] = change.sequence
        self.order.append((change.sequence, change.named))
        if self.order.count - self.head > self.capacity { self.forgetOldest() }
        return true
    }

    private mutating func forgetOldest() {
        let (sequence, subject) = self.order[self.head]
        self.head += 1
        if self.latest[subject] == sequence { self.latest[subject] = nil }
        self.floor = sequence
        if self.head > 1024, self.head * 2 > self.order.count {
            self.order.removeFirst(self.head)
            self.head = 0
        }
    }

    /// Whether none of the subjects was named after `sequence`. False before `begin`.
    func allows(_ subjects: [ChangeSubject], readAt sequence: Int64) -> Bool {
        guard let floor, sequence >= floor else { return false }
        return subjects.allSatisfy { (self.latest[$0] ?? 0) <= sequence }
    }
}
