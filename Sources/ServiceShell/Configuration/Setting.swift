/// What a setting is called and what it may hold: the part of a ``Setting`` that help texts and tables show.
package struct SettingDeclaration: Sendable, Equatable {
    /// The name in the environment and in a configuration file: `HTTP_PORT`.
    package let name: String
    /// What is allowed, as the end of a sentence: `a port number from 0 to 65535`.
    package let allowed: String
    /// The default as people write it, or a few words in brackets when it is worked out.
    package let defaultText: String
    /// What the setting does, in one line.
    package let meaning: String
    /// A secret's value is never shown, and it may also be given as `NAME_FILE`, the path of a file that holds it.
    package let isSecret: Bool
    /// A switch may stand on the command line without a value, which then is `true`.
    package let isSwitch: Bool

    /// The name on the command line: `--http-port`.
    package var flag: String { Self.flag(for: self.name) }

    /// The parts of the name, in lower case, from which the providers make their own spelling.
    var components: [String] { Self.components(of: self.name) }

    /// The setting that names a file with the value, for secrets.
    var fileName: String { "\(self.name)_FILE" }

    static func flag(for name: String) -> String {
        "--" + Self.components(of: name).joined(separator: "-")
    }

    static func components(of name: String) -> [String] {
        name.lowercased().split(separator: "_").map(String.init)
    }
}

/// One key of a program's configuration: its declaration, how its text becomes a value, and the value it has when
/// nobody gives one.
///
/// A program lists its settings once. Reading, `--help`, and the table of docs/configuration.md all come from that
/// list.
package struct Setting<Value: Sendable>: Sendable {
    package let declaration: SettingDeclaration
    /// The value when no source has one.
    package let fallback: Value
    /// Text to value; `nil` when the text is not what ``SettingDeclaration/allowed`` says.
    package let parse: @Sendable (String) -> Value?

    package init(
        _ name: String,
        allowed: String,
        default fallback: Value,
        shownAs defaultText: String,
        isSecret: Bool = false,
        isSwitch: Bool = false,
        _ meaning: String,
        parse: @escaping @Sendable (String) -> Value?,
    ) {
        self.declaration = SettingDeclaration(
            name: name,
            allowed: allowed,
            defaultText: defaultText,
            meaning: meaning,
            isSecret: isSecret,
            isSwitch: isSwitch,
        )
        self.fallback = fallback
        self.parse = parse
    }

    /// The same setting with a default that has to be worked out from others, of which `shownAs` tells how.
    package func workedOut(shownAs defaultText: String) -> Setting<Value?> {
        let parse = self.parse
        return Setting<Value?>(
            self.declaration.name,
            allowed: self.declaration.allowed,
            default: nil,
            shownAs: defaultText,
            isSecret: self.declaration.isSecret,
            isSwitch: self.declaration.isSwitch,
            self.declaration.meaning,
            parse: { text in
                guard let value = parse(text) else { return nil }
                return .some(value)
            },
        )
    }
}
