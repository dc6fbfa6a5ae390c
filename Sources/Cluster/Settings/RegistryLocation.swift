package import ServiceShell

/// Where the registry is, for the programs that ask it.
package struct RegistryLocation: SettingsGroup {
    /// `host:port`; the host may have several addresses.
    package var address: String

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
