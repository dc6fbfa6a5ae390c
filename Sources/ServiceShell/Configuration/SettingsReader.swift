import Configuration

/// One place settings come from: a provider, and how to name it to people.
package struct SettingsSource: Sendable {
    let provider: any ConfigProvider
    let origin: @Sendable (SettingDeclaration) -> String

    init(_ provider: any ConfigProvider, origin: @escaping @Sendable (SettingDeclaration) -> String) {
        self.provider = provider
        self.origin = origin
    }

    /// Values given by code, of settings named as in the environment, with the words to name each one's origin with.
    package static func values(_ values: [String: String], origins: [String: String]) -> Self {
        let content = values.map { name, value in
            (AbsoluteConfigKey(SettingDeclaration.components(of: name)), ConfigValue(.string(value), isSecret: false))
        }
        let provider = InMemoryProvider(name: "values", values: Dictionary(content, uniquingKeysWith: { $1 }))
        return Self(provider, origin: { origins[$0.name] ?? "the program" })
    }

    /// The text this source has, `nil` when it has none. An empty value counts as none: compose files and
    /// ConfigMaps leave keys empty that nobody set.
    func text(for declaration: SettingDeclaration) -> String? {
        let key = AbsoluteConfigKey(declaration.components)
        // The command line provider splits at commas, so a list is asked for and joined again. The in-memory one
        // knows only the type it was given.
        if let result = try? self.provider.value(forKey: key, type: .string), let value = result.value {
            if case .string(let text) = value.content { return text.isEmpty ? nil : text }
        }
        if let result = try? self.provider.value(forKey: key, type: .stringArray), let value = result.value {
            if case .stringArray(let parts) = value.content {
                let text = parts.joined(separator: ",")
                return text.isEmpty ? nil : text
            }
        }
        return nil
    }
}

/// Reads settings from their sources in order and collects what is wrong with them.
///
/// Use: read every setting, which always gives a value to go on with, then call ``finish()``, which throws if any was
/// bad.
package struct SettingsReader {
    private let program: String
    private let sources: [SettingsSource]
    private(set) var problems: [ConfigurationError.Problem]
    /// The settings whose values are secrets that everybody knows.
    private var knownToEverybody: [String] = []

    /// What has no effect, a line each.
    private let idle: [String]

    /// - Parameter sources: The first one that has a value wins.
    init(program: String, sources: [SettingsSource], problems: [ConfigurationError.Problem], idle: [String]) {
        self.program = program
        self.sources = sources
        self.problems = problems
        self.idle = idle
    }

    /// The setting's value, or its default when nothing gives one or what gives one is wrong.
    package mutating func read<Value>(_ setting: Setting<Value>) -> Value {
        let declaration = setting.declaration
        for source in self.sources {
            guard let text = source.text(for: declaration) else { continue }
            if let value = setting.parse(text) {
                if declaration.isSecret, DevelopmentSecret.isOne(text) {
                    self.knownToEverybody.append(declaration.name)
                }
                return value
            }
            let shown = declaration.isSecret ? "the secret given" : "\"\(Self.shortened(text))\""
            self.problems.append(
                .value(
                    "\(declaration.name): \(shown) (from \(source.origin(declaration))) is not allowed; "
                        + "give \(declaration.allowed)"))
            return setting.fallback
        }
        return setting.fallback
    }

    /// The value of a setting that has no default. What stands in for it is never used: `finish` throws.
    package mutating func required<Value>(_ setting: Setting<Value?>, standIn: Value) -> Value {
        let count = self.problems.count
        if let value = self.read(setting) { return value }
        // A value that is wrong is not missing.
        if self.problems.count == count {
            let names = setting.declaration.isSecret ? " or \(setting.declaration.fileName)" : ""
            let name = setting.declaration.name
            self.reject("\(name): is not set; set \(name)\(names) to \(setting.declaration.allowed)")
        }
        return standIn
    }

    /// Notes a problem between settings that are each allowed alone.
    package mutating func reject(_ sentence: String) {
        self.problems.append(.value(sentence))
    }

    /// Two listeners on one port would only be found when the second binds.
    /// - Parameter ports: the settings' names and values; nil for a listener that is off.
    package mutating func rejectShared(ports: KeyValuePairs<String, Int?>) {
        for (index, one) in ports.enumerated() {
            guard let number = one.value, number != 0 else { continue }
            for other in ports.dropFirst(index + 1) where other.value == number {
                self.reject(
                    "\(other.key): \"\(number)\" is \(one.key)'s port too; give each listener its own port")
            }
        }
    }

    /// What is allowed, and must be told all the same once everything is read: a line each, to be logged at the start.
    package var warnings: [String] {
        guard !self.knownToEverybody.isEmpty else { return self.idle }
        return self.idle + [
            "\(self.knownToEverybody.joined(separator: ", ")): FOR DEVELOPMENT ONLY. "
                + "What begins with \(DevelopmentSecret.start) stands in public and protects nothing; "
                + "give secrets of your own, as `openssl rand -base64 32` makes them"
        ]
    }

    /// For who needs a few settings only, whatever is wrong with the others.
    mutating func forgetProblems() {
        self.problems = []
    }

    /// - Throws: everything that was wrong, if anything was.
    package func finish() throws(ConfigurationError) {
        if !self.problems.isEmpty {
            throw ConfigurationError(program: self.program, problems: self.problems)
        }
    }

    /// A value as it may stand in a message: short, on one line.
    package static func shortened(_ text: String) -> String {
        let escaped = LogText.escaped(text)
        return escaped.count <= 80 ? escaped : "\(escaped.prefix(80))…"
    }
}
