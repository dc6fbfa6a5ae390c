/// How large a run is, and what it is made of.
package struct RunPlan: Sendable {
    package var devices: Int
    /// Requests a second.
    package var rate: Double
    package var pods: Int
    package var northbounds = 2
    package var registries = 2
    /// Devices that begin in a second.
    package var ramp: Int
    /// Devices a second that pods which stop may ask to connect anew: what the rest of this machine takes.
    package var reconnects: Int
    /// What happens, in this order.
    package var phases: [RunPhase]
    /// For everything that is left to chance.
    package var seed: UInt64
    /// The folder of this run.
    package var place: String
    /// The folder with `coap-gateway`, `mock-device` and `chaos`.
    package var products: String
    /// Settings of programs in place of those that a run usually has.
    var settings: [RunProcess.Program: [String: String]] = [:]

    package init(
        devices: Int, rate: Double, pods: Int, ramp: Int, reconnects: Int, phases: [RunPhase], seed: UInt64,
        place: String, products: String
    ) {
        self.devices = devices
        self.rate = rate
        self.pods = pods
        self.ramp = ramp
        self.reconnects = reconnects
        self.phases = phases
        self.seed = seed
        self.place = place
        self.products = products
    }

    /// One fleet of the run: a process with devices of one kind.
    struct Fleet: Sendable, Hashable {
        let name: String
        let profile: String
        let devices: Int
        /// Its devices are so far away that each byte takes half a second.
        let isFar: Bool

        /// Its devices are called so, and a number behind it.
        var prefix: String { "\(self.name)-" }
    }

    /// Four of five devices behave like the reference stack. A few of the others are far away. Each fleet is a user's,
    /// and no user has so many devices that their requests in flight reach the bound there is for one owner.
    var fleets: [Fleet] {
        let far = min(50, self.devices / 20)
        let libcoap = self.devices / 20
        let reference = self.devices * 4 / 5
        let parts = (reference + Self.maximumOfUser - 1) / Self.maximumOfUser
        let references = (0..<parts).map { part in
            Fleet(
                name: "reference\(part + 1)", profile: "reference",
                devices: reference * (part + 1) / parts - reference * part / parts, isFar: false)
        }
        let others = [
            Fleet(name: "libcoap", profile: "libcoap", devices: libcoap, isFar: false),
            Fleet(name: "far", profile: "polite", devices: far, isFar: true),
            Fleet(name: "polite", profile: "polite", devices: self.devices - reference - libcoap - far, isFar: false),
        ]
        return (references + others).filter { $0.devices > 0 }
    }

    private static let maximumOfUser = 2000

    /// What an operator of so many devices would set, and within which time a pod then has to stop: as long as it
    /// takes to ask them all, and a fifth more.
    var drain: (settings: [String: String], patience: Double) {
        let window = max(30, (self.devices * 6 / 5 + self.reconnects - 1) / self.reconnects)
        let grace = window + 60
        let settings = [
            "FLEET_RECONNECTS": "\(self.reconnects)", "DRAIN_WINDOW": "\(window)", "TERMINATION_GRACE": "\(grace)",
        ]
        return (settings, Double(grace))
    }

    /// How often the clients ask which devices are online, in seconds: the list of all is long.
    var presenceInterval: Int { max(2, self.devices / 1000) }

    /// Connections that are open at all times, to the one address that the clients know.
    var connections: Int { max(64, Int(self.rate) / 10) }
}
