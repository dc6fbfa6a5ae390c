import Synchronization

/// How many one-time codes may be made for a user before his codes are counted again.
///
/// To count is to read a row for each of them while nobody else makes one for him: with thousands of devices to bring
/// in, each would pay for all that came before it. So behind a count an eighth of what is left up to the limit is given
/// out uncounted, and near the limit each code is counted. One process keeps the limit, give or take the codes that are
/// made at that moment; several beside one another keep twice the limit.
final class CodeAllowances: Sendable {
    /// Users beyond these begin anew, with a count.
    static let maximumUsers = 10_000
    private static let share = 8

    private let left = Mutex<[UserID: Int]>([:])

    /// Takes one.
    ///
    /// - Returns: false if there is none: the codes are to be counted.
    func take(for uid: UserID) -> Bool {
        self.left.withLock { left in
            guard let count = left[uid] else { return false }
            left[uid] = count > 1 ? count - 1 : nil
            return true
        }
    }

    /// - Parameters:
    ///   - outstanding: how many codes the user has.
    ///   - limit: how many he may have.
    func counted(_ outstanding: Int, of uid: UserID, limit: Int) {
        let allowance = max(0, limit - outstanding) / Self.share
        self.left.withLock { left in
            if left.count >= Self.maximumUsers { left = [:] }
            left[uid] = allowance > 0 ? allowance : nil
        }
    }
}
