import ServiceShell

/// The environment of the older gateway, written in Go, as far as it means something to a single process.
///
/// This is the only place that knows the old keys. `KEEPALIVE_TIME`, `KEEPALIVE_INTERVAL` and `KEEPALIVE_RETRY` kept
/// their names and need no translation.
struct GoGatewayKeys {
    /// Old keys that this program does not act on.
    static let withoutEffect = [
        "NETWORK", "MY_POD_IP",
        "DB_NAME", "DB_USERNAME", "DB_PASSWORD", "DB_URI",
        "CACHE_URI", "CACHE_PASSWORD", "CACHE_NUMBER",
        "TLS_CERTIFICATE", "TLS_CERTIFICATE_KEY", "TLS_CA_POOL",
    ]

    /// What the old keys say, under the new names.
    let source: SettingsSource
    let problems: [ConfigurationError.Problem]
    /// At most one line.
    let warnings: [String]

    init(environment: [String: String]) {
        var values: [String: String] = [:]
        var problems: [ConfigurationError.Problem] = []
        if let address = environment["ADDRESS"], !address.isEmpty {
            if let (host, port) = Numbers.hostAndPort(address) {
                // ":5683" was how the old gateway said "on every address".
                values["BIND_ADDRESS"] = host.isEmpty ? "0.0.0.0" : host
                values["COAP_PORT"] = "\(port)"
            } else {
                let shown = SettingsReader.shortened(address)
                problems.append(
                    .value(
                        "ADDRESS: \"\(shown)\" (from ADDRESS in the environment) is not allowed; "
                            + "give HOST:PORT, or BIND_ADDRESS and COAP_PORT in its place"))
            }
        }
        let origins = values.mapValues { _ in "ADDRESS in the environment" }
        self.source = SettingsSource.values(values, origins: origins)
        self.problems = problems
        let idle = Self.withoutEffect.filter { environment[$0].map { !$0.isEmpty } ?? false }
        self.warnings =
            idle.isEmpty ? [] : ["\(idle.joined(separator: ", ")) set in the environment: no effect in coap-gateway"]
    }
}
