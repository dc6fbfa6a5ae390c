package import ServiceShell

/// From where on new connections are refused for the sake of those there are.
package struct CeilingSettings: SettingsGroup {
    /// What the process may have, in bytes; nil: what its cgroup may.
    package var memoryLimit: Int?

    enum Keys {
        static let memoryLimit = Setting.size(
            "MEMORY_LIMIT",
            in: 67_108_864...1_099_511_627_776,
            default: 1_073_741_824,
            "How much memory the process may have. From 80 % of it on new connections are refused.",
        ).workedOut(shownAs: "(the limit of its cgroup, as a container has)")
    }

    package static let declarations: [SettingDeclaration] = [Keys.memoryLimit.declaration]

    package init(_ reader: inout SettingsReader) {
        self.memoryLimit = reader.read(Keys.memoryLimit)
    }
}
