package import ServiceShell

/// The environment of the older gateway, written in Go, as far as it means something to one of our programs.
///
/// This is the only place that knows the old keys. `KEEPALIVE_*`, `DB_*` and `CACHE_*` kept their names and need no
/// translation.
package struct GoGatewayKeys {
    /// Old key to the settings it says something about. A program without any of these does not act on it.
    private static let meanings: KeyValuePairs<String, [String]> = [
        "NETWORK": ["COAP_PORT"],
        "ADDRESS": ["COAP_PORT"],
        "MY_POD_IP": ["POD_IP"],
        "DB_NAME": ["DB_NAME"],
        "DB_USERNAME": ["DB_USERNAME"],
        "DB_PASSWORD": ["DB_PASSWORD"],
        "DB_URI": ["DB_URI"],
        "CACHE_URI": ["CACHE_URI"],
        "CACHE_PASSWORD": ["CACHE_PASSWORD"],
        "CACHE_NUMBER": ["CACHE_NUMBER"],
        "TLS_CERTIFICATE": ["TLS_CERTIFICATE"],
        "TLS_CERTIFICATE_KEY": ["TLS_CERTIFICATE_KEY"],
        "TLS_CA_POOL": ["TLS_CA_POOL"],
    ]

    private var values: [String: String] = [:]
    /// Whether the one port of the old gateway was for TLS.
    private var isSecure = false
    private var origins: [String: String] = [:]
    private var problems: [ConfigurationError.Problem] = []
    private var warnings: [String] = []

    /// What the environment says to a program with these settings.
    package static func names(in environment: [String: String], for program: ProgramDescription) -> OldNames {
        let settings = Set(program.settings.map(\.name))
        let given = environment.filter { !$0.value.isEmpty }
        var keys = GoGatewayKeys()
        var idle: [String] = []
        for (key, meaning) in Self.meanings {
            guard let value = given[key] else { continue }
            guard meaning.contains(where: settings.contains) else {
                idle.append(key)
                continue
            }
            keys.take(key, value)
        }
        if !idle.isEmpty {
            keys.warnings.append("\(idle.joined(separator: ", ")) set in the environment: no effect in \(program.name)")
        }
        return OldNames(
            source: .values(keys.values, origins: keys.origins), problems: keys.problems, warnings: keys.warnings)
    }

    private mutating func take(_ key: String, _ value: String) {
        switch key {
        case "ADDRESS":
            guard let (host, port) = Numbers.hostAndPort(value) else {
                self.reject(key, value, "give HOST:PORT, or BIND_ADDRESS and COAP_PORT in its place")
                return
            }
            // ":5683" was how the old gateway said "on every address".
            self.set("BIND_ADDRESS", host.isEmpty ? "0.0.0.0" : host, from: key)
            self.set(self.isSecure ? "COAPS_PORT" : "COAP_PORT", "\(port)", from: key)
        case "MY_POD_IP":
            self.set("POD_IP", value, from: key)
        case "NETWORK":
            switch value {
            case "tcp": break
            case "tcp-tls":
                // The old gateway had one port, and that was for TLS then.
                self.isSecure = true
                self.set("COAP_PORT", "off", from: key)
                if self.values["COAPS_PORT"] == nil { self.set("COAPS_PORT", "5684", from: key) }
            default: self.reject(key, value, "give tcp or tcp-tls")
            }
        default:
            // It kept its name: the environment has it already.
            break
        }
    }

    private mutating func set(_ name: String, _ value: String, from key: String) {
        self.values[name] = value
        self.origins[name] = "\(key) in the environment"
    }

    private mutating func reject(_ key: String, _ value: String, _ hint: String) {
        let shown = SettingsReader.shortened(value)
        self.problems.append(
            .value("\(key): \"\(shown)\" (from \(key) in the environment) is not allowed; \(hint)"))
    }
}

extension ServerConfiguration {
    package static func oldNames(in environment: [String: String]) -> OldNames {
        GoGatewayKeys.names(in: environment, for: Self.program)
    }
}
