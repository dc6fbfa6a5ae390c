import Configuration
import FoundationEssentials

extension ProgramDescription {
    /// The largest configuration or secret file that is read, in bytes.
    private static var fileLimit: Int { 1024 * 1024 }

    /// A reader over every source of settings in its order: command line, environment, secret files, what `extra`
    /// adds, the configuration file. What is wrong with the sources themselves is already noted in it.
    ///
    /// - Parameters:
    ///   - environment: Empty variables count as not set.
    ///   - old: What the environment says under names of old: after the environment and before the file.
    package func reader(
        arguments: ProgramArguments,
        environment: [String: String],
        old: OldNames? = nil,
    ) -> SettingsReader {
        var problems = old?.problems ?? []
        // The provider wants the program's name first, and takes everything up to the next flag as a value.
        let words = ["program"] + arguments.values.map { "\($0.key)=\($0.value)" }
        var sources = [
            SettingsSource(CommandLineArgumentsProvider(arguments: words), origin: { $0.flag }),
            SettingsSource(
                EnvironmentVariablesProvider(environmentVariables: environment),
                origin: { "\($0.name) in the environment" },
            ),
        ]
        let named = sources
        sources.append(self.secretFiles(named: named, problems: &problems))
        if let old { sources.append(old.source) }
        if let path = arguments.configurationFile {
            let values = self.configurationFile(path, problems: &problems)
            sources.append(.values(values, origins: values.mapValues { _ in path }))
            sources.append(self.secretFiles(named: [sources[sources.count - 1]], problems: &problems))
        }
        return SettingsReader(program: self.name, sources: sources, problems: problems, idle: old?.warnings ?? [])
    }

    /// The secrets that `KEY_FILE` settings name files for.
    private func secretFiles(
        named sources: [SettingsSource],
        problems: inout [ConfigurationError.Problem],
    ) -> SettingsSource {
        var values: [String: String] = [:]
        var origins: [String: String] = [:]
        for setting in self.settings where setting.isSecret {
            let pointer = SettingDeclaration(
                name: setting.fileName,
                allowed: "",
                defaultText: "",
                meaning: "",
                isSecret: false,
                isSwitch: false,
            )
            guard let path = sources.lazy.compactMap({ $0.text(for: pointer) }).first else { continue }
            let shown = SettingsReader.shortened(path)
            if sources.contains(where: { $0.text(for: setting) != nil }) {
                problems.append(.value("\(setting.name) and \(setting.fileName) are both set; give one of them"))
                continue
            }
            guard let text = Self.contents(of: path) else {
                let rest = "cannot be read; give the path of a readable file"
                problems.append(.value("\(setting.fileName): the file \"\(shown)\" \(rest)"))
                continue
            }
            // Editors and `echo` end a file with a newline, which is no part of the secret.
            let trimmed = text.hasSuffix("\r\n") ? text.dropLast() : text[...]
            values[setting.name] = String(trimmed.hasSuffix("\n") ? trimmed.dropLast() : trimmed)
            origins[setting.name] = "the file \(shown) that \(setting.fileName) names"
            if values[setting.name]?.isEmpty ?? true {
                let rest = "is empty; it must hold \(setting.allowed)"
                problems.append(.value("\(setting.fileName): the file \"\(shown)\" \(rest)"))
            }
        }
        return .values(values, origins: origins)
    }

    /// The settings a JSON file has: one object, its keys spelled as in the environment.
    private func configurationFile(_ path: String, problems: inout [ConfigurationError.Problem]) -> [String: String] {
        let shown = SettingsReader.shortened(path)
        guard let text = Self.contents(of: path) else {
            problems.append(.value("--config: the file \"\(shown)\" cannot be read; give the path of a readable file"))
            return [:]
        }
        guard let object = try? JSONDecoder().decode([String: JSONScalar].self, from: Data(text.utf8)) else {
            problems.append(
                .value(
                    "--config: the file \"\(shown)\" is not a JSON object of settings; "
                        + "write { \"HTTP_PORT\": 8080 } with texts, numbers, true or false as values"))
            return [:]
        }
        let names = self.settings.flatMap { $0.isSecret ? [$0.name, $0.fileName] : [$0.name] }
        for name in object.keys.sorted() where !names.contains(name) {
            let near = Spelling.nearest(to: name, among: names).map { "; did you mean \($0)?" } ?? ""
            problems.append(
                .value("\(SettingsReader.shortened(name)): \(shown) has this key, which no setting is called\(near)"))
        }
        return object.mapValues(\.text)
    }

    /// A small text file, `nil` when it cannot be read, is too large or is not UTF-8.
    private static func contents(of path: String) -> String? {
        guard let data = try? Data(contentsOf: URL(fileURLWithPath: path)), data.count <= Self.fileLimit else {
            return nil
        }
        return String(validating: data, as: UTF8.self)
    }
}

/// A value of a configuration file, in the text form the other sources have.
private struct JSONScalar: Decodable {
    let text: String

    init(from decoder: any Decoder) throws {
        let container = try decoder.singleValueContainer()
        if let text = try? container.decode(String.self) {
            self.text = text
        } else if let flag = try? container.decode(Bool.self) {
            self.text = "\(flag)"
        } else {
            self.text = "\(try container.decode(Int.self))"
        }
    }
}
