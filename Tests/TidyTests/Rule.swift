import Testing

/// Something that every file keeps, and that a machine can see.
struct Rule: Sendable, CustomTestStringConvertible {
    /// What is kept, as a sentence.
    let sentence: String
    let check: @Sendable (SourceFile) -> [Violation]

    var testDescription: String { self.sentence }

    /// A rule that looks at one line of code at a time.
    ///
    /// - Parameters:
    ///   - scope: Which files it is for.
    ///   - body: Takes the line without comments and strings, its index and its file; returns what is wrong.
    static func line(
        _ sentence: String,
        in scope: @escaping @Sendable (SourceFile) -> Bool,
        _ body: @escaping @Sendable (String, Int, SourceFile) -> String?,
    ) -> Rule {
        Rule(sentence: sentence) { file in
            guard scope(file) else { return [] }
            return file.code.enumerated().compactMap { index, line in
                body(line, index, file).map { Violation(file: file, index: index, problem: $0) }
            }
        }
    }
}

/// A place where a rule is not kept.
struct Violation: Sendable, CustomStringConvertible {
    let path: String
    let line: Int
    let problem: String

    init(file: SourceFile, index: Int, problem: String) {
        self.path = file.path
        self.line = index + 1
        self.problem = problem
    }

    var description: String { "\(self.path):\(self.line): \(self.problem)" }
}

/// A use of something banned that has a reason.
struct Exemption: Sendable {
    let path: String
    let reason: String
}
