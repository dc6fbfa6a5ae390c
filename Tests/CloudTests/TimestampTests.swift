import Testing

@testable import Cloud

@Suite("Timestamps")
struct TimestampTests {
    @Test("BI-30: arithmetic stops at the ends instead of wrapping")
    func saturation() {
        let now = Timestamp(milliseconds: 1_700_000_000_000)
        #expect(now + .milliseconds(1500) == Timestamp(milliseconds: 1_700_000_001_500))
        #expect(now - .seconds(1) == Timestamp(milliseconds: 1_699_999_999_000))
        #expect(now + .seconds(Int64.max) == Timestamp(milliseconds: .max))
        #expect(now - .seconds(Int64.max) < now)
        #expect(Timestamp(milliseconds: .min) - .seconds(1) == Timestamp(milliseconds: .min))
        #expect(Timestamp(milliseconds: .max) - Timestamp(milliseconds: .min) == .milliseconds(Int64.max))
        #expect(now - (now + .seconds(2)) == .seconds(-2))
    }

    @Test("expiresin is whole seconds rounded down, 0 when over, -1 for ever")
    func expiresIn() {
        let now = Timestamp(milliseconds: 10_000)
        #expect(Credentials.expiresIn(nil, now: now) == -1)
        #expect(Credentials.expiresIn(now + .milliseconds(5999), now: now) == 5)
        #expect(Credentials.expiresIn(now, now: now) == 0)
        #expect(Credentials.expiresIn(now - .seconds(9), now: now) == 0)
    }

    @Test("The machine's clock is between 2020 and 2200")
    func system() {
        let now = SystemWallClock().now()
        #expect(now > Timestamp(milliseconds: 1_577_836_800_000))
        #expect(now < Timestamp(milliseconds: 7_258_118_400_000))
    }
}
