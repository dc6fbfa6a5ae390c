import Cloud
import Testing

@Suite("The spans that routing goes by")
struct RouteTimesTests {
    @Test("They are in the order that makes them work")
    func order() {
        let deadline: Duration = .seconds(20)
        #expect(RouteTimes.loopPause < RouteTimes.lease, "a pod that slept mistrusts itself before others do")
        #expect(RouteTimes.renewal * 3 < RouteTimes.lease, "two renewals may get lost")
        #expect(RouteTimes.lease <= RouteTimes.leftWait)
        #expect(RouteTimes.leftWait < deadline, "who waits for a device can still ask it")
        #expect(deadline < RouteTimes.hopIdle, "a connection is not idle while an answer may come")
        #expect(RouteTimes.leftWait < RouteTimes.leftLifetime)
        #expect(RouteTimes.sweep * 2 < RouteTimes.lifetime, "one assertion may get lost")
        #expect(RouteTimes.claimLimit < .seconds(2), "a device repeats a sign-in after 2 s")
        #expect(RouteTimes.contestPing < deadline)
    }
}
