package import ServiceShell

/// How requests to devices are treated where they come in.
package struct RequestSettings: SettingsGroup {
    /// The deadline a request gets at the edge, unless the client asks for another.
    package var timeout: Duration

    enum Keys {
        static let timeout = Setting.seconds(
            "REQUEST_TIMEOUT",
            in: 1...60,
            default: 20,
            "How long a request to a device may take.",
        )
    }

    package static let declarations: [SettingDeclaration] = [Keys.timeout.declaration]

    package init(_ reader: inout SettingsReader) {
        self.timeout = reader.read(Keys.timeout)
    }

    /// How long a stop may take: a request that came just before it may still be answered.
    package var stopTime: Duration { self.timeout + .seconds(5) }
}
