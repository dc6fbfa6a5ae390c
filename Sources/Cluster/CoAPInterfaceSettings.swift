package import ServiceShell

/// Everything `coap-interface` can be told at its start.
package struct CoAPInterfaceSettings: ServerConfiguration {
    package var process: ProcessSettings
    package var devices: DeviceSettings
    package var tls: TLSSettings
    /// The port other programs reach our sessions at.
    package var podPort: Int
    package var requests: RequestSettings
    package var ceilings: CeilingSettings
    package var drain: DrainSettings
    package var move: MoveSettings
    package var pod: PodSettings
    package var registry: RegistryLocation
    package var redis: RedisSettings
    package var inside: InternalSettings
    package var warnings: [String]

    static let podPort = Setting.port(
        "POD_PORT", default: 8081, "The port the other programs reach this one's devices at. It speaks CoAP.")

    package static let program = ProgramDescription(
        name: "coap-interface",
        abstract: "Keeps the connections of OCF devices over CoAP/TCP, and passes requests to them.",
        settings: DeviceSettings.declarations + TLSSettings.declarations + [podPort.declaration]
            + RequestSettings.declarations + CeilingSettings.declarations + DrainSettings.declarations
            + MoveSettings.declarations
            + RegistryLocation.declarations + RedisSettings.declarations
            + PodSettings.declarations + InternalSettings.declarations + ProcessSettings.declarations,
    )

    package init(arguments: ProgramArguments, environment: [String: String]) throws(ConfigurationError) {
        var reader = Self.program.reader(
            arguments: arguments, environment: environment, old: Self.oldNames(in: environment))
        self.devices = DeviceSettings(&reader)
        self.tls = TLSSettings(&reader)
        self.podPort = reader.read(Self.podPort)
        self.requests = RequestSettings(&reader)
        self.ceilings = CeilingSettings(&reader)
        self.drain = DrainSettings(&reader)
        self.move = MoveSettings(&reader)
        self.registry = RegistryLocation(&reader)
        self.redis = RedisSettings(&reader)
        self.pod = PodSettings(&reader)
        self.inside = InternalSettings(&reader)
        self.process = ProcessSettings(&reader)
        self.warnings =
            reader.warnings + [self.move.warning(sessions: self.devices.maxConnections)].compactMap(\.self)
        self.drain.check(
            [
                (name: MoveSettings.Keys.window.declaration.name, time: self.move.window),
                (name: RequestSettings.Keys.timeout.declaration.name, time: self.requests.timeout),
            ], &reader)
        self.devices.check(hasCertificate: self.tls.files != nil, &reader)
        let securePort = self.devices.securePortWithCertificate
        reader.rejectShared(ports: [
            "COAP_PORT": self.devices.port, "COAPS_PORT": self.tls.files.flatMap { _ in securePort },
            "COAP_WS_PORT": self.devices.webSocketPort, "COAPS_WS_PORT": self.devices.secureWebSocketPort,
            "POD_PORT": self.podPort, "ADMIN_PORT": self.process.adminPort,
        ])
        try reader.finish()
        SizeOrder.check()
    }

    package var stopTime: Duration {
        self.drain.propagation + self.move.window + self.requests.timeout + DrainSettings.slack
    }
}
