/// How large a soak run is.
package struct SoakPlan: Sendable {
    /// How long there is load that is judged, after the warm-up.
    package var seconds: Double
    /// In all fleets.
    package var devices: Int
    /// HTTP requests a second.
    package var rate: Int
    /// Strangers a second.
    package var strangers: Int
    package var seed: UInt64
    /// The folder of this run.
    package var place: String
    /// The folder with `coap-gateway`, `mock-device` and `chaos`.
    package var products: String

    package init(
        seconds: Double, devices: Int, rate: Int, strangers: Int, seed: UInt64, place: String, products: String
    ) {
        self.seconds = seconds
        self.devices = devices
        self.rate = rate
        self.strangers = strangers
        self.seed = seed
        self.place = place
        self.products = products
    }

    /// What is not judged: a minute at least, in which whoever may stay without signing in, or is not read by, has been
    /// shown out for as long again as he may stay; more in a long run, in which memory may grow for longer until every
    /// pool has its size.
    package var warmUp: Double { min(max(60, self.seconds / 4), 300) }

    /// One fleet: a process with devices of one kind.
    struct Fleet: Sendable, Hashable {
        let name: String
        let profile: String
        let quirks: [String]
        let devices: Int

        var prefix: String { "\(self.name)-" }
    }

    /// Devices that stay connected and fail at nothing.
    var steady: Fleet { Fleet(name: "steady", profile: "polite", quirks: [], devices: self.devices / 2) }

    /// And those that do not.
    var restless: [Fleet] {
        let eighth = max(1, self.devices / 8)
        return [
            Fleet(
                name: "flapping", profile: "polite", quirks: ["flapping", "duplicate-requests"], devices: eighth * 2),
            Fleet(name: "halves", profile: "polite", quirks: ["flapping", "half-close"], devices: eighth),
            self.impolite,
        ]
    }

    /// In the end they are killed behind a cut wire, so that the gateway hears of it only by their silence.
    var impolite: Fleet {
        Fleet(
            name: "impolite", profile: "polite", quirks: ["slow-reader", "no-pong"], devices: max(1, self.devices / 8))
    }

    /// One of each program, with keepalives that are soon over, so that the end is soon quiet.
    var run: RunPlan {
        var plan = RunPlan(
            devices: self.devices, rate: Double(self.rate), pods: 1, ramp: 100, reconnects: 200, phases: [],
            seed: self.seed, place: self.place, products: self.products)
        plan.northbounds = 1
        plan.registries = 1
        plan.settings = [
            .coapInterface: [
                "LOG_LEVEL": "info", "KEEPALIVE_TIME": "5", "KEEPALIVE_INTERVAL": "2", "KEEPALIVE_RETRY": "2",
            ]
        ]
        return plan
    }
}
