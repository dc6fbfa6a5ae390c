import CoAP
package import CoAPTransport

/// What the devices of a fleet have in common.
package struct FleetSetup: Sendable {
    /// One way into the cloud.
    package struct Target: Sendable {
        package let address: ServerAddress
        package let transport: DialTransport

        package init(address: ServerAddress, transport: DialTransport) {
            self.address = address
            self.transport = transport
        }

        /// The same transport at another address, `HOST:PORT` (RFC 8323 §5.5); nil if that is none.
        func elsewhere(_ authority: String) -> Target? {
            guard !authority.contains("://"),
                let address = try? ServerAddress(parsing: "\(self.address.scheme.rawValue)://\(authority)")
            else { return nil }
            return Target(address: address, transport: self.transport)
        }
    }

    package var profile: FleetProfile
    package var quirks: Set<FleetQuirk> = []
    /// Each connection of a device takes the next.
    package var targets: [Target]
    package var ramp: RampPlan
    package var prefix = "fleet-"
    package var seed: UInt64 = 0
    /// How many links each device publishes.
    package var links = 1
    /// Of each resource that is observed; nil: none.
    package var notificationsPerSecond: Double?
    /// This share of the requests, 0…1, is answered so late.
    package var delayShare = 0.0
    package var delay = Duration.seconds(2)
    /// Bytes that each answer of a light is longer.
    package var padding = 0

    package init(profile: FleetProfile, targets: [Target], ramp: RampPlan) {
        self.profile = profile
        self.targets = targets
        self.ramp = ramp
    }

    /// The id of a device, the first of which is 0 here and 1 in its id.
    package func di(_ index: Int) -> String { "\(self.prefix)\(index + 1)" }

    /// Small bounds: what one device is asked at a time is little, and there are thousands.
    var connection: ConnectionConfiguration {
        ConnectionConfiguration(
            keepalive: nil, maximumInFlight: 4, maximumQueued: 8, maximumIncoming: 64, maximumObservers: 64,
            omissions: self.profile.omissions(with: self.quirks))
    }
}
