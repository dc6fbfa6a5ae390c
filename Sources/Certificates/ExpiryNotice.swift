/// When to speak of a certificate's or a list's end: once a day, from some days ahead.
struct ExpiryNotice: Sendable {
    private let daysAhead: Int64
    /// The day that was spoken on, and of which end.
    private var spoken: (day: Int64, end: Int64)?

    init(daysAhead: Int64) { self.daysAhead = daysAhead }

    /// - Parameters:
    ///   - end, now: seconds since 1970.
    /// - Returns: whole days left, below zero once it is over; nil: nothing to say now.
    mutating func daysLeft(end: Int64, now: Int64) -> Int64? {
        let left = end - now
        let day = now / 86_400
        guard left < self.daysAhead * 86_400 else { return nil }
        if let spoken = self.spoken, spoken.day == day, spoken.end == end { return nil }
        self.spoken = (day, end)
        // Rounded down below zero as well: what ended an hour ago has -1.
        return left >= 0 ? left / 86_400 : (left - 86_399) / 86_400
    }
}
