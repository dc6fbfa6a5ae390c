package import CoAPInterface
import NIOCore
package import ServiceShell

/// How a program stops without a request failing for it.
package struct DrainSettings: SettingsGroup {
    /// How long it serves on when it is not ready any more: until everybody who sends it work has heard of that.
    package var propagation: Duration
    /// What the orchestrator gives it to stop.
    package var grace: Duration

    enum Keys {
        static let propagation = Setting.seconds(
            "DRAIN_PROPAGATION",
            in: 0...600,
            default: 10,
            "How long to serve on after SIGTERM, until load balancers have heard that this process is not ready.",
        )
        static let grace = Setting.seconds(
            "TERMINATION_GRACE",
            in: 1...3600,
            default: 90,
            "How long after SIGTERM the process is killed: what the orchestrator is set to.",
        )
    }

    /// Between the last request and the end: the peers' time to close, and ours.
    package static let slack: Duration = .seconds(10)

    package static let declarations: [SettingDeclaration] = [Keys.propagation.declaration, Keys.grace.declaration]

    package init(_ reader: inout SettingsReader) {
        self.propagation = reader.read(Keys.propagation)
        self.grace = reader.read(Keys.grace)
    }

    /// Refuses what does not fit into the grace period.
    /// - Parameter parts: what else a stop takes, by its setting; nil: it has none.
    func check(_ parts: [(name: String?, time: Duration)], _ reader: inout SettingsReader) {
        let all =
            [(name: Optional(Keys.propagation.declaration.name), time: self.propagation)] + parts
            + [(name: nil, time: Self.slack)]
        let sum = all.reduce(Duration.zero) { $0 + $1.time }
        guard sum > self.grace else { return }
        let terms = all.map { part in
            let seconds = "\(part.time.components.seconds) s"
            return part.name.map { "\($0) \(seconds)" } ?? "\(seconds) for the end"
        }
        reader.reject(
            "\(Keys.grace.declaration.name): \(terms.joined(separator: " + ")) = \(sum.components.seconds) s do not fit into "
                + "\(self.grace.components.seconds) s; give the process more time, here and in the orchestrator, or "
                + "shorten the others")
    }
}

/// How the sessions of a pod that stops are moved to others.
package struct MoveSettings: SettingsGroup {
    /// Over which time sessions are released.
    package var window: Duration
    /// How many devices may reconnect a second, of all pods that drain together.
    package var fleetReconnects: Int
    /// Whether sessions are moved to where there are fewer.
    package var rebalances: Bool
    /// Where devices reach this process and no other.
    package var alternativeAddresses: PublicEndpoints

    enum Keys {
        static let window = Setting.seconds(
            "DRAIN_WINDOW",
            in: 0...3600,
            default: 30,
            "Over which time a process that stops asks its devices to connect anew. 0: it asks all at once and stops.",
        )
        static let fleetReconnects = Setting.count(
            "FLEET_RECONNECTS",
            in: 1...1_000_000,
            default: 1000,
            "How many devices a second the others and the registry take, from all processes that stop together.",
        )
        static let rebalance = Setting.toggle(
            "REBALANCE",
            default: true,
            "Whether devices of a process that has too many are asked to connect anew (docs/scaling.md).",
        )
        static let alternativeAddress = Setting.coapEndpoints(
            "ALTERNATIVE_ADDRESS",
            shownAs: "(none)",
            "Where devices reach this process and no other, past any balancer. The others name it to devices that they "
                + "ask to connect anew (docs/scaling.md).",
        )
    }

    package static let declarations: [SettingDeclaration] = [
        Keys.window.declaration, Keys.fleetReconnects.declaration, Keys.rebalance.declaration,
        Keys.alternativeAddress.declaration,
    ]

    package init(_ reader: inout SettingsReader) {
        self.window = reader.read(Keys.window)
        self.fleetReconnects = reader.read(Keys.fleetReconnects)
        self.rebalances = reader.read(Keys.rebalance)
        self.alternativeAddresses = PublicEndpoints(reader.read(Keys.alternativeAddress)) ?? PublicEndpoints()
    }

    /// What to tell whoever starts the process; nil: as many sessions as it takes can be moved in time.
    func warning(sessions: Int) -> String? {
        let needed = (sessions + self.fleetReconnects - 1) / self.fleetReconnects
        let window = self.window.components.seconds
        guard window > 0, needed > window else { return nil }
        return "\(sessions) sessions (MAX_CONNECTIONS) take \(needed) s to move at \(self.fleetReconnects) a second "
            + "(FLEET_RECONNECTS), and DRAIN_WINDOW is \(window) s: who is left over is closed at the deadline; "
            + "lengthen DRAIN_WINDOW and TERMINATION_GRACE, or take fewer"
    }

    /// - Parameter requestTimeout: how long a request to a device may take.
    func machine(_ drain: DrainSettings, requestTimeout: Duration) -> DrainMachine.Settings {
        DrainMachine.Settings(
            propagation: .init(drain.propagation), window: .init(self.window),
            ending: .init(requestTimeout) + Self.deviceGrace, fleetReconnects: self.fleetReconnects)
    }

    /// A device has 5 s to close after a Release, and is then given one more before we close.
    private static let deviceGrace = TimeAmount.seconds(6)
}
