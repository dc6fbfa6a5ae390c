/// When each device begins.
package struct RampPlan: Sendable, Hashable {
    /// All of them have begun after this time.
    package var ramp: Duration
    /// At most so many begin a second; nil: no bound.
    package var perSecond: Double?
    package var devices: Int

    package init(devices: Int, ramp: Duration = .zero, perSecond: Double? = nil) {
        self.devices = devices
        self.ramp = ramp
        self.perSecond = perSecond
    }

    /// How long after the start device `index` begins, the first of which is 0: evenly over the ramp, or as the rate
    /// allows, whichever is later.
    package func begin(of index: Int) -> Duration {
        let byRamp = self.ramp * index / max(self.devices, 1)
        guard let perSecond = self.perSecond, perSecond > 0 else { return byRamp }
        return max(byRamp, .seconds(1) * (Double(index) / perSecond))
    }
}
