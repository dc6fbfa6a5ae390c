import ArgumentParser

/// What people write for a time: 90, 90s, 500ms, 5m, 1h.
package struct DurationArgument: ExpressibleByArgument, Sendable {
    package let duration: Duration

    package init?(argument: String) {
        let digits = argument.prefix { $0.isNumber || $0 == "." }
        guard let number = Double(digits), number >= 0, number <= 1_000_000_000 else { return nil }
        switch argument.dropFirst(digits.count) {
        case "ms": self.duration = .milliseconds(1) * number
        case "", "s": self.duration = .seconds(1) * number
        case "m", "min": self.duration = .seconds(60) * number
        case "h": self.duration = .seconds(3600) * number
        default: return nil
        }
    }
}

/// A rate: 10, 10/s, 0.5/s.
package struct RateArgument: ExpressibleByArgument, Sendable {
    package let perSecond: Double

    package init?(argument: String) {
        let digits = argument.hasSuffix("/s") ? argument.dropLast(2) : argument[...]
        guard let number = Double(digits), number > 0, number <= 100_000 else { return nil }
        self.perSecond = number
    }
}

/// A part of a whole: 5% or 0.05.
package struct ShareArgument: ExpressibleByArgument, Sendable {
    package let share: Double

    package init?(argument: String) {
        let isPercent = argument.hasSuffix("%")
        guard let number = Double(isPercent ? argument.dropLast() : argument[...]) else { return nil }
        let share = isPercent ? number / 100 : number
        guard (0...1).contains(share) else { return nil }
        self.share = share
    }
}

/// One or more ways into a cloud: an address, of which the port may be several: `127.0.0.1:5683,5685`.
struct FleetAddresses: ExpressibleByArgument, Sendable {
    let addresses: [ServerAddress]

    init?(argument: String) {
        var addresses: [ServerAddress] = []
        let parts = argument.split(separator: ",", omittingEmptySubsequences: false)
        guard let first = parts.first, let address = try? ServerAddress(parsing: String(first)) else { return nil }
        addresses.append(address)
        for part in parts.dropFirst() {
            guard let port = Int(part), (1...65535).contains(port) else { return nil }
            addresses.append(ServerAddress(address.scheme, host: address.host, port: port))
        }
        self.addresses = addresses
    }
}

extension FleetProfile.Name: ExpressibleByArgument {}

/// One quirk or several: `no-jitter,flapping`.
struct FleetQuirks: ExpressibleByArgument, Sendable {
    let quirks: [FleetQuirk]

    init?(argument: String) {
        var quirks: [FleetQuirk] = []
        for word in argument.split(separator: ",") {
            guard let quirk = FleetQuirk(rawValue: word.trimmed) else { return nil }
            quirks.append(quirk)
        }
        self.quirks = quirks
    }
}
