package import ServiceShell

/// Everything `registry` can be told at its start.
package struct RegistrySettings: ServerConfiguration {
    package var process: ProcessSettings
    package var port: Int
    package var tokens: TokenSettings
    package var sealKey: SecretValue
    package var previousSealKey: SecretValue?
    package var sid: String
    package var database: DatabaseSettings
    package var redis: RedisSettings
    package var drain: DrainSettings
    package var pod: PodSettings
    package var inside: InternalSettings
    package var warnings: [String]

    static let port = Setting.port("REGISTRY_PORT", default: 5688, "The port the other programs reach the registry at.")
    static let sealKey = SealKeys.current(shownAs: "(required)")
    static let sid = CloudIdentity.setting(shownAs: "(required)")

    package static let program = ProgramDescription(
        name: "registry",
        abstract: "Users, tokens, devices and what they have published, over MySQL.",
        settings: [port.declaration] + DatabaseSettings.declarations + TokenSettings.declarations
            + [sealKey.declaration, SealKeys.previous.declaration, sid.declaration] + DrainSettings.declarations
            + RedisSettings.declarations + PodSettings.declarations + InternalSettings.declarations
            + ProcessSettings.declarations,
        commands: [
            "migrate": "bring the database's tables up to date and stop: 0 if they are, else 1",
            "ca": "make certificates for devices, clouds and programs; 'registry ca --help' tells how",
        ],
    )

    package init(arguments: ProgramArguments, environment: [String: String]) throws(ConfigurationError) {
        var reader = Self.program.reader(
            arguments: arguments, environment: environment, old: Self.oldNames(in: environment))
        self.port = reader.read(Self.port)
        self.database = DatabaseSettings(&reader)
        self.tokens = TokenSettings(&reader)
        self.sealKey = reader.required(Self.sealKey, standIn: SecretValue([]))
        self.previousSealKey = reader.read(SealKeys.previous)
        self.sid = reader.required(Self.sid, standIn: "")
        self.redis = RedisSettings(&reader)
        self.drain = DrainSettings(&reader)
        self.pod = PodSettings(&reader)
        self.inside = InternalSettings(&reader)
        self.process = ProcessSettings(&reader)
        self.warnings = reader.warnings
        reader.rejectShared(ports: ["REGISTRY_PORT": self.port, "ADMIN_PORT": self.process.adminPort])
        self.drain.check([(name: nil, time: Self.finishing)], &reader)
        try reader.finish()
    }

    /// How long what is in work may take: its requests are short.
    private static let finishing: Duration = .seconds(10)

    package var stopTime: Duration { self.drain.propagation + Self.finishing + DrainSettings.slack }
}
