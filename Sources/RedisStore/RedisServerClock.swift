import Cloud
import NIOCore

/// What the server's clock shows at most, from what it showed last: so that a claim which the server reaches too late
/// is not carried out at all. The clocks need not agree; that the server's was set meanwhile is allowed for by trusting
/// what it showed only for a while.
struct RedisServerClock {
    /// How much later than it should be a claim may be: more than two clocks drift apart while `trust` lasts.
    static let margin: Duration = .seconds(1)
    /// Without sign-ins for so long the next one goes without a limit, and shows the time.
    static let trust: TimeAmount = .minutes(10)

    private var last: (time: Timestamp, asked: NIODeadline)?

    /// The server answered that it was `time`, at some moment after `asked`.
    mutating func heard(_ time: Timestamp, asked: NIODeadline) {
        if let last = self.last, last.asked > asked { return }
        self.last = (time, asked)
    }

    /// What the server's clock shows at `moment` at most; nil if that cannot be said.
    func latest(at moment: NIODeadline) -> Timestamp? {
        guard let last = self.last, moment < last.asked + Self.trust else { return nil }
        return last.time + Duration(moment - last.asked) + Self.margin
    }
}
