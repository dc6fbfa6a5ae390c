package import ServiceShell

/// Where the registry is, for the programs that ask it.
package struct RegistryLocation: SettingsGroup {
    /// `host:port`; the host may have several addresses.
    package var address: String

    /// The two parts of the address.
    var host: String { self.parts.host }
    var port: Int { self.parts.port }
    // What the setting lets through is of this form.
    private var parts: (host: String, port: Int) { Numbers.hostAndPort(self.address) ?? (self.address, 5688) }

    enum Keys {
        static let address = Setting.hostAndPort(
            "REGISTRY",
            default: "registry:5688",
            "Where the registry is. Up to three addresses of the name are used.",
        )
    }

    package static let declarations: [SettingDeclaration] = [Keys.address.declaration]

    package init(_ reader: inout SettingsReader) {
        self.address = reader.read(Keys.address)
    }
}
