import Cloud

/// What is owed to logs of events because Redis did not take it, without input or output: an owner's gap, or that he is
/// to be forgotten. Of too many owners with gaps no names are kept: then everybody is told of one.
struct EventDebts {
    enum Debt: Hashable {
        case gap
        /// Another of the same name must not read what was his, so this stands before a gap.
        case forgetting
    }

    enum Payment: Hashable {
        case owner(UserID, Debt)
        /// A gap in every log.
        case everybody
    }

    static let maximumOwners = 10_000

    private let maximum: Int
    private var owners: [UserID: Debt] = [:]
    private var owesEverybody = false

    /// - Parameter maximum: of how many owners the names are kept.
    init(maximum: Int = Self.maximumOwners) {
        self.maximum = maximum
    }

    var isEmpty: Bool { self.owners.isEmpty && !self.owesEverybody }

    mutating func owe(_ payment: Payment) {
        switch payment {
        case .everybody:
            self.owesEverybody = true
        case .owner(let uid, let debt):
            if self.owners[uid] == nil, self.owners.count >= self.maximum {
                self.owesEverybody = true
            } else if self.owners[uid] != .forgetting {
                self.owners[uid] = debt
            }
        }
    }

    /// What to pay next; what then could not be paid is owed again.
    mutating func take(_ maximum: Int) -> [Payment] {
        var taken: [Payment] = self.owesEverybody ? [.everybody] : []
        self.owesEverybody = false
        for (uid, debt) in self.owners.prefix(maximum) {
            self.owners[uid] = nil
            taken.append(.owner(uid, debt))
        }
        return taken
    }
}
