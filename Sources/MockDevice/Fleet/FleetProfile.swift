package import CoAP

/// How devices of one make behave, as figures.
package struct FleetProfile: Sendable, Hashable {
    package enum Name: String, Sendable, Hashable, CaseIterable {
        /// The reference stack of OCF, as it was seen on the wire.
        case reference
        /// What RFC 8323 and OCF ask for, to the letter.
        case polite
        /// libcoap's client, told to keep its connection alive: by itself it sends no Ping, and a device that sends
        /// nothing never learns that its connection is gone.
        case libcoap
    }

    /// Signs of life a device asks for by itself, once it is signed in.
    package struct Keepalive: Sendable, Hashable {
        /// From one Ping that was answered to the next.
        package var every: Duration
        /// How long each Ping waits for its Pong; then comes the next, or the end.
        package var patience: Duration
        /// So many Pings in a row without a Pong are the end of the connection.
        package var misses: Int
    }

    /// What a device does on a Release (RFC 8323 §5.5).
    package enum OnRelease: Sendable, Hashable {
        /// Closes at once and answers nothing more.
        case closesAtOnce
        /// Answers what it was asked before, then closes.
        case answersFirst
    }

    package let name: Name
    package let plan: ReconnectPlan.Figures
    /// How long each attempt waits for an answer, or for a connection; the last is that of all further ones.
    package let timeouts: [Duration]
    /// What of RFC 8323 it leaves out.
    package let omissions: ConnectionConfiguration.Omissions
    /// How long it waits for the cloud's CSM before it says anything else; nil: not at all.
    package let csmPatience: Duration?
    package let keepalive: Keepalive
    package let onRelease: OnRelease
    /// Whether it stays away as long as a Release asks for.
    package let heedsHoldOff: Bool
    /// Whether it tries first where a Release asks it to.
    package let heedsAlternativeAddress: Bool

    package init(_ name: Name) {
        self.name = name
        var plan = ReconnectPlan.Figures(base: .seconds(2))
        switch name {
        case .reference:
            plan.pausesBeforeSteps = true
            plan.hasLastAttempt = true
            self.timeouts = plan.delays
            self.omissions = .csm
            self.csmPatience = nil
            self.keepalive = Keepalive(every: .seconds(20), patience: .seconds(4), misses: 6)
            self.onRelease = .closesAtOnce
            self.heedsHoldOff = false
            self.heedsAlternativeAddress = false
        case .polite:
            plan.refreshesFirst = false
            self.timeouts = [.seconds(20)]
            self.omissions = []
            self.csmPatience = nil
            self.keepalive = Keepalive(every: .seconds(60), patience: .seconds(10), misses: 3)
            self.onRelease = .answersFirst
            self.heedsHoldOff = true
            self.heedsAlternativeAddress = true
        case .libcoap:
            plan.refreshesFirst = false
            self.timeouts = [.seconds(90)]
            self.omissions = []
            self.csmPatience = .seconds(30)
            self.keepalive = Keepalive(every: .seconds(30), patience: .seconds(30), misses: 1)
            self.onRelease = .closesAtOnce
            self.heedsHoldOff = false
            self.heedsAlternativeAddress = false
        }
        self.plan = plan
    }

    /// How long an attempt waits, the first of which is 1.
    package func timeout(attempt: Int) -> Duration {
        self.timeouts[min(max(attempt - 1, 0), self.timeouts.count - 1)]
    }
}

/// A bad habit. A device may have several.
package enum FleetQuirk: String, Sendable, Hashable, CaseIterable {
    case noJitter = "no-jitter"
    case ignoreRelease = "ignore-release"
    case slowReader = "slow-reader"
    case noPong = "no-pong"
    case flapping
    case halfClose = "half-close"
    case duplicateRequests = "duplicate-requests"

    package var explanation: String {
        switch self {
        case .noJitter: "waits half of each delay, never a random part more: all devices come back at one moment"
        case .ignoreRelease: "goes on after a Release as if nothing had been said"
        case .slowReader: "reads once a second from its socket, once signed in"
        case .noPong: "answers no Ping"
        case .flapping: "breaks the connection 3 to 6 s after each sign-in"
        case .halfClose: "closes only its sending side when it breaks a connection, and waits for the cloud to close"
        case .duplicateRequests: "sends each of its own requests twice"
        }
    }
}

extension FleetProfile {
    /// What the connections of such a device leave out.
    package func omissions(with quirks: Set<FleetQuirk>) -> ConnectionConfiguration.Omissions {
        var omissions = self.omissions
        if quirks.contains(.noPong) { omissions.insert(.pongs) }
        if quirks.contains(.ignoreRelease) { omissions.insert(.release) }
        return omissions
    }
}
