extension ProgramDescription {
    /// What `--help` prints.
    package func helpText() -> String {
        var lines = [
            self.abstract,
            "",
            "Usage: \(self.name) \(self.commands.isEmpty ? "" : "[COMMAND] ")[--config FILE] [--FLAG VALUE …]",
            "",
        ]
        if !self.commands.isEmpty {
            lines += self.commands.sorted { $0.key < $1.key }.map { "  \($0.key)   \($0.value)" } + [""]
        }
        lines += [
            "  --config FILE   a JSON file with settings, an object of NAME: value",
            "  --health        ask the server that runs with these settings whether it is ready; 0 if it is, else 1",
            "                  (--health=live: whether it runs)",
            "  --version       print the version and stop",
            "  --help          print this and stop",
            "",
            "A setting comes from its flag, else its environment variable, else the file, else its default.",
            "A secret also comes from a file, which NAME_FILE (--…-file) names.",
            "",
        ]
        for setting in self.settings {
            lines.append("  \(setting.flag), \(setting.name)   [\(setting.defaultText)]")
            lines.append("      \(setting.meaning)")
            lines.append("      Give \(setting.allowed).")
        }
        return lines.joined(separator: "\n")
    }

    /// The table of docs/configuration.md: one row a setting.
    package func markdownTable() -> String {
        var lines = ["| setting | flag | default | what it does | allowed |", "| --- | --- | --- | --- | --- |"]
        for setting in self.settings {
            let name = setting.isSecret ? "`\(setting.name)`, `\(setting.fileName)`" : "`\(setting.name)`"
            let cells = [name, "`\(setting.flag)`", setting.defaultText, setting.meaning, setting.allowed]
            let escaped = cells.map { cell in
                cell.split(separator: "|", omittingEmptySubsequences: false).joined(separator: "\\|")
            }
            lines.append("| \(escaped.joined(separator: " | ")) |")
        }
        return lines.joined(separator: "\n") + "\n"
    }
}
