package import ServiceShell

/// Everything `northbound` can be told at its start.
package struct NorthboundSettings: ServerConfiguration {
    package var process: ProcessSettings
    package var http: HTTPSettings
    package var requests: RequestSettings
    package var ceilings: CeilingSettings
    package var drain: DrainSettings
    package var pod: PodSettings
    package var registry: RegistryLocation
    package var redis: RedisSettings
    package var inside: InternalSettings
    package var warnings: [String]

    package static let program = ProgramDescription(
        name: "northbound",
        abstract: "The HTTP API for people, apps and provisioning.",
        settings: HTTPSettings.declarations + TLSSettings.sharedDeclarations + RequestSettings.declarations
            + CeilingSettings.declarations
            + DrainSettings.declarations
            + RegistryLocation.declarations
            + RedisSettings.declarations + PodSettings.declarations + InternalSettings.declarations
            + ProcessSettings.declarations,
    )

    package init(arguments: ProgramArguments, environment: [String: String]) throws(ConfigurationError) {
        var reader = Self.program.reader(
            arguments: arguments, environment: environment, old: Self.oldNames(in: environment))
        self.http = HTTPSettings(&reader)
        self.http.fallBack(to: TLSSettings.sharedFiles(&reader))
        self.requests = RequestSettings(&reader)
        self.ceilings = CeilingSettings(&reader)
        self.drain = DrainSettings(&reader)
        self.registry = RegistryLocation(&reader)
        self.redis = RedisSettings(&reader)
        self.pod = PodSettings(&reader)
        self.inside = InternalSettings(&reader)
        self.process = ProcessSettings(&reader)
        self.warnings = reader.warnings
        // Without a certificate the port for HTTPS is not opened: 0 is shared with nobody.
        let securePort = self.http.files.flatMap { _ in self.http.securePort }
        reader.rejectShared(ports: [
            "HTTP_PORT": self.http.port, "HTTPS_PORT": securePort, "ADMIN_PORT": self.process.adminPort,
        ])
        self.drain.check(
            [(name: RequestSettings.Keys.timeout.declaration.name, time: self.requests.timeout)], &reader)
        try reader.finish()
    }

    package var stopTime: Duration { self.drain.propagation + self.requests.timeout + DrainSettings.slack }
}
