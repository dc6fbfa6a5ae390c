import FoundationEssentials

extension Rule {
    /// What may hand something across threads without the compiler's proof, each with its reason. Expected: under five.
    static let uncheckedExemptions: [Exemption] = [
        Exemption(
            path: "Tests/TestSupport/ScriptedPeer.swift",
            reason: "its inbox lives on one event loop, and is only touched there",
        ),
        Exemption(
            path: "scripts/sanitizers/races.swift",
            reason: "its race is what the thread sanitizer is to find",
        ),
    ]

    /// Files that may be longer, each with its reason.
    static let lengthExemptions: [Exemption] = []

    static let bans = [
        Rule.line("No task without a parent", in: { $0.isSwift && $0.isSource }) { line, _, _ in
            Self.has(word: "Task", then: ["{", "(", ".detached", ".init"], in: line)
                ? "an unstructured task: nobody waits for it, cancels it or sees it fail" : nil
        },
        Rule.line("What the compiler cannot prove safe across threads has a reason", in: \.isSwift) { line, _, file in
            guard line.contains("@unchecked Sendable") || line.contains("nonisolated(unsafe)") else { return nil }
            return Self.uncheckedExemptions.contains { $0.path == file.path } ? nil : "not in the list of exemptions"
        },
        Rule.line("What can stop the process is proved by a comment", in: { $0.isSwift && $0.isSource }) {
            line, index, file in
            guard !file.isExplained(index) else { return nil }
            for word in ["fatalError(", "preconditionFailure("] where line.contains(word) {
                return "\(word)…) without a comment that proves it cannot happen"
            }
            for operation in ["&+", "&-", "&*"] where line.contains(" \(operation)") {
                return "\(operation) without a comment that says why it may wrap"
            }
            return Self.forcesUnwrap(line) ? "! without a comment that proves it" : nil
        },
        Rule.line("No try!", in: { $0.isSwift && $0.isSource }) { line, _, _ in
            line.contains("try!") ? "try! turns an error into a crash" : nil
        },
        Rule.line(
            "Only programs print",
            in: { file in
                file.isSwift && file.isSource && !["Programs", "MockDevice"].contains(file.target)
                    && !file.path.hasPrefix("Sources/Gateway/GatewayProgram")
            }
        ) { line, _, _ in
            Self.has(word: "print", then: ["("], in: line) || Self.has(word: "debugPrint", then: ["("], in: line)
                ? "print; use the logger" : nil
        },
        Rule.line("Tests do not sleep", in: { $0.isSwift && $0.isTest }) { line, _, _ in
            ["sleep", "usleep", "nanosleep"].contains { Self.has(word: $0, then: ["("], in: line, afterDot: true) }
                ? "a sleep; wait for the event itself, with a deadline" : nil
        },
        Rule.line("No test is skipped", in: { $0.isSwift && $0.isTest }) { line, _, _ in
            let marks = [".disabled(", ".enabled(", "XCTSkip", "withKnownIssue"]
            return marks.first { line.contains($0) }.map { "\($0) skips a test" }
        },
        Rule(sentence: "Nothing is left over") { file in
            Self.lines(of: file, containing: ["TO" + "DO", "FIX" + "ME", "XX" + "X:", "HA" + "CK:"], "a leftover: ")
        },
        Rule(sentence: "Nothing names a machine or what is outside the repository") { file in
            let outside = [
                "/wor" + "k/", "/hom" + "e/", "/roo" + "t/", "/Use" + "rs/", "desig" + "n.md", "styl" + "e.md",
                "ocf-wir" + "e", "bad-input" + "s", "swift-note" + "s", "helper ses" + "sion",
            ]
            return Self.lines(of: file, containing: outside, "not part of the repository: ")
        },
    ]

    static let form = [
        Rule(sentence: "No blank is in a path") { file in
            file.path.contains(" ") ? [Violation(file: file, index: 0, problem: "a blank in the path")] : []
        },
        Rule(sentence: "A line has at most 120 columns") { file in
            guard file.isSwift else { return [] }
            return file.lines.enumerated().compactMap { index, line in
                // What swift-format cannot break either: a text that stands alone in its line.
                let code = line.drop { " +?:".contains($0) }
                guard line.count > 120, !code.hasPrefix("\"") else { return nil }
                return Violation(file: file, index: index, problem: "\(line.count) columns")
            }
        },
        Rule(sentence: "A file has at most 500 lines") { file in
            guard file.isSwift, file.lines.count > 501 else { return [] }
            if Self.lengthExemptions.contains(where: { $0.path == file.path }) { return [] }
            return [
                Violation(file: file, index: 500, problem: "\(file.lines.count) lines; give its nouns their own files")
            ]
        },
        Rule(sentence: "A test's name is a sentence") { file in
            guard file.isSwift, file.isTest else { return [] }
            return file.code.enumerated().compactMap { index, line -> Violation? in
                guard line.contains("@Test"), !line.contains("@Testable") else { return nil }
                let rest = file.lines[index...].prefix(3).joined(separator: " ")
                guard let mark = rest.firstRange(of: "@Test") else { return nil }
                let name = Self.testName(rest[mark.upperBound...])
                guard name.split(separator: " ").count < 3 else { return nil }
                return Violation(file: file, index: index, problem: "the test's name is no sentence: \"\(name)\"")
            }
        },
    ]

    // MARK: - How lines are read

    /// Whether the word stands alone in the line and is followed by one of `ends`, blanks aside.
    static func has(word: String, then ends: [String], in line: String, afterDot: Bool = false) -> Bool {
        var rest = line[...]
        while let range = rest.firstRange(of: word) {
            let before = range.lowerBound == line.startIndex ? nil : line[line.index(before: range.lowerBound)]
            let isPart = before.map { $0.isLetter || $0.isNumber || $0 == "_" || ($0 == "." && !afterDot) } ?? false
            let after = line[range.upperBound...].drop { $0 == " " }
            // `func print(` makes one, it does not call one.
            let isMade = line[..<range.lowerBound].hasSuffix("func ")
            if !isPart, !isMade, ends.contains(where: { after.hasPrefix($0) }) { return true }
            rest = rest[range.upperBound...]
        }
        return false
    }

    /// `x!`, `f()!`, `a[0]!`, but neither `!x` nor `a != b`.
    private static func forcesUnwrap(_ line: String) -> Bool {
        guard line.contains("!") else { return false }
        let characters = Array(line)
        return characters.indices.contains { index in
            guard characters[index] == "!", index > 0 else { return false }
            let before = characters[index - 1]
            let next = index + 1 < characters.count ? characters[index + 1] : " "
            guard before.isLetter || before.isNumber || ")]_\"".contains(before) else { return false }
            let word = String(characters[..<index].reversed().prefix { $0.isLetter }.reversed())
            return next != "=" && !["try", "as"].contains(word)
        }
    }

    private static func lines(of file: SourceFile, containing words: [String], _ problem: String) -> [Violation] {
        file.lines.enumerated().compactMap { index, line in
            words.first { line.contains($0) }.map { Violation(file: file, index: index, problem: problem + $0) }
        }
    }

    /// The first argument of `@Test(…)`, if it is a text.
    private static func testName(_ text: Substring) -> String {
        guard text.hasPrefix("(") else { return "" }
        let argument = text.dropFirst().drop { $0 == " " || $0 == "#" }
        guard argument.hasPrefix("\"") else { return "" }
        return String(argument.dropFirst().prefix { $0 != "\"" })
    }
}
