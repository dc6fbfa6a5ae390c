import ArgumentParser

/// A program as its command line sees it: its name, what it is, and its settings.
package struct ProgramDescription: Sendable {
    package let name: String
    package let version: String
    /// One sentence: what the program is for.
    package let abstract: String
    package let settings: [SettingDeclaration]
    /// Word to what it does: what may stand before the flags.
    package let commands: [String: String]

    package init(
        name: String, version: String = ProgramDescription.currentVersion, abstract: String,
        settings: [SettingDeclaration], commands: [String: String] = [:]
    ) {
        self.name = name
        self.version = version
        self.abstract = abstract
        self.settings = settings
        self.commands = commands
    }

    /// All programs of a release have one version.
    package static let currentVersion = "0.1.0"

    /// What a command line asks for.
    package enum Request: Sendable, Equatable {
        /// Print this and stop with status 0.
        case show(String)
        /// Run with these.
        case run(ProgramArguments)
        /// Ask the server that runs with these how it is.
        case checkHealth(HealthCheck.Page, ProgramArguments)
    }

    /// Reads a command line.
    ///
    /// ArgumentParser knows `--config`, `--help` and `--version`. It leaves everything else to us, because the other
    /// flags come from the table of settings, and none of them may have a default that would hide the environment.
    ///
    /// - Parameter arguments: Without the program's own name.
    /// - Throws: every flag that is unknown, repeated or without a value.
    package func parse(_ arguments: [String]) throws(ConfigurationError) -> Request {
        let parsed: CommonArguments
        do {
            parsed = try CommonArguments.parse(arguments)
        } catch {
            if CommonArguments.exitCode(for: error) == .success { return .show(self.helpText()) }
            throw ConfigurationError(program: self.name, problems: [.usage(CommonArguments.message(for: error))])
        }
        if parsed.version { return .show("\(self.name) \(self.version)") }
        var words = parsed.settings
        let page = try self.takeHealth(&words)
        let given = try self.split(words, configurationFile: parsed.config)
        return page.map { .checkHealth($0, given) } ?? .run(given)
    }

    /// Takes `--health` out, which may say what is asked for: `--health=live`.
    private func takeHealth(_ words: inout [String]) throws(ConfigurationError) -> HealthCheck.Page? {
        guard let index = words.firstIndex(where: { $0 == "--health" || $0.hasPrefix("--health=") }) else { return nil }
        let word = words.remove(at: index)
        if word == "--health" { return .ready }
        guard let page = HealthCheck.Page(rawValue: String(word.dropFirst("--health=".count))) else {
            let shown = SettingsReader.shortened(word)
            let problem = "\(shown) is not allowed; give --health, --health=ready or --health=live"
            throw ConfigurationError(program: self.name, problems: [.usage(problem)])
        }
        return page
    }

    private func split(
        _ tokens: [String],
        configurationFile: String?,
    ) throws(ConfigurationError) -> ProgramArguments {
        var values: [String: String] = [:]
        var problems: [ConfigurationError.Problem] = []
        var rest = tokens[...]
        while let token = rest.popFirst() {
            guard token.hasPrefix("--"), token.count > 2 else {
                problems.append(.usage("\"\(SettingsReader.shortened(token))\" stands alone; values follow a flag"))
                continue
            }
            let parts = token.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
            let flag = String(parts[0])
            var value = parts.count == 2 ? String(parts[1]) : nil
            let isSwitch = self.settings.contains { $0.flag == flag && $0.isSwitch }
            if value == nil, let next = rest.first, !next.hasPrefix("--") {
                value = next
                rest.removeFirst()
            } else if value == nil, isSwitch {
                value = "true"
            }
            guard self.flags.contains(flag) else {
                problems.append(.usage(self.unknown(flag)))
                continue
            }
            guard let value, !value.isEmpty else {
                problems.append(.usage("\(flag) needs a value"))
                continue
            }
            if values.updateValue(value, forKey: flag) != nil {
                problems.append(.usage("\(flag) is given twice"))
            }
        }
        if !problems.isEmpty { throw ConfigurationError(program: self.name, problems: problems) }
        return ProgramArguments(configurationFile: configurationFile, values: values)
    }

    /// Every flag that names a setting, `--…-file` of secrets included.
    var flags: [String] {
        self.settings.flatMap { setting in
            setting.isSecret
                ? [setting.flag, SettingDeclaration.flag(for: setting.fileName)]
                : [setting.flag]
        }
    }

    private func unknown(_ flag: String) -> String {
        let shown = SettingsReader.shortened(flag)
        let known = self.flags + ["--config", "--health", "--help", "--version"]
        let hint = Spelling.nearest(to: flag, among: known).map { "; did you mean \($0)?" } ?? ""
        return "\(shown) is not a flag of \(self.name)\(hint)"
    }
}

/// A command line that was understood.
package struct ProgramArguments: Sendable, Equatable {
    /// What `--config` names.
    package var configurationFile: String?
    /// Flag to value, flags with their dashes.
    package var values: [String: String]

    package init(configurationFile: String? = nil, values: [String: String] = [:]) {
        self.configurationFile = configurationFile
        self.values = values
    }
}

/// What every program's command line has.
struct CommonArguments: ParsableArguments {
    @Option(help: "A JSON file with settings.")
    var config: String?

    @Flag(help: "Print the version and stop.")
    var version = false

    @Argument(parsing: .allUnrecognized)
    var settings: [String] = []
}

/// Finds what somebody may have meant.
enum Spelling {
    /// The nearest candidate, if one is at most three edits and less than half its length away.
    static func nearest(to word: String, among candidates: [String]) -> String? {
        guard word.utf8.count <= 100 else { return nil }
        let rated = candidates.map { (candidate: $0, distance: Self.distance(word, $0)) }
        guard let best = rated.min(by: { $0.distance < $1.distance }) else { return nil }
        return best.distance <= 3 && best.distance * 2 < best.candidate.utf8.count ? best.candidate : nil
    }

    /// Insertions, deletions and replacements between two words.
    static func distance(_ left: String, _ right: String) -> Int {
        let right = Array(right.utf8)
        var row = Array(0...right.count)
        for (index, byte) in left.utf8.enumerated() {
            var diagonal = row[0]
            row[0] = index + 1
            for column in right.indices {
                let replaced = diagonal + (byte == right[column] ? 0 : 1)
                diagonal = row[column + 1]
                row[column + 1] = min(replaced, diagonal + 1, row[column] + 1)
            }
        }
        return row[right.count]
    }
}
