import CoAP
import NIOCore
import Testing

struct MessageRateTests {
    static let start = NIODeadline.uptimeNanoseconds(1_000_000_000)

    static func admitted(_ rate: inout MessageRate, of count: Int, at now: NIODeadline) -> Int {
        (0..<count).count { _ in rate.admit(now: now) }
    }

    @Test("BI-12: a flood is let in up to the burst, then at the rate")
    func flood() {
        var rate = MessageRate(perSecond: 200, burst: 400, now: Self.start)
        #expect(Self.admitted(&rate, of: 10_000, at: Self.start) == 400)
        #expect(Self.admitted(&rate, of: 10_000, at: Self.start + .seconds(1)) == 200)
        #expect(Self.admitted(&rate, of: 10_000, at: Self.start + .milliseconds(1500)) == 100)
    }

    @Test("Rest is saved up to the burst, not beyond")
    func burst() {
        var rate = MessageRate(perSecond: 10, burst: 20, now: Self.start)
        #expect(Self.admitted(&rate, of: 100, at: Self.start + .hours(1)) == 20)
    }

    @Test("Time that runs backwards gives nothing and takes nothing")
    func backwards() {
        var rate = MessageRate(perSecond: 10, burst: 2, now: Self.start)
        #expect(Self.admitted(&rate, of: 5, at: Self.start - .seconds(1)) == 2)
        #expect(Self.admitted(&rate, of: 5, at: Self.start) == 0)
    }

    @Test("Whoever waits until the time named is let in", arguments: [1, 2, 15, 16, 17, 400])
    func resume(burst: Int) {
        for perSecond in [1, 3, 7, 199, 200, 1_000_003] {
            var rate = MessageRate(perSecond: perSecond, burst: burst, now: Self.start)
            var now = Self.start
            for _ in 0..<50 {
                while rate.admit(now: now) {}
                let resumesAt = rate.resumesAt
                #expect(resumesAt > now)
                now = resumesAt
                let isAdmitted = rate.admit(now: now)
                #expect(isAdmitted, "\(perSecond) a second, burst \(burst)")
            }
        }
    }

    @Test("Reading resumes when there is room for some messages, not for one")
    func hysteresis() {
        var rate = MessageRate(perSecond: 100, burst: 400, now: Self.start)
        _ = Self.admitted(&rate, of: 400, at: Self.start)
        #expect(Self.admitted(&rate, of: 100, at: rate.resumesAt) == 16)
    }
}
