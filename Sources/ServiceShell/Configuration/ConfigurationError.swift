/// Everything that is wrong with what a program was told at its start, collected: people should not have to fix one
/// value to learn of the next.
package struct ConfigurationError: Error, Equatable, CustomStringConvertible {
    /// What went wrong in one place.
    package enum Problem: Sendable, Equatable {
        /// A value that is not allowed. The text names the key, the value unless it is secret, and what is allowed.
        case value(String)
        /// A command line that cannot be understood.
        case usage(String)

        var text: String {
            switch self {
            case .value(let text), .usage(let text): text
            }
        }

        var isUsage: Bool {
            switch self {
            case .value: false
            case .usage: true
            }
        }
    }

    /// The program's name, to begin the report with.
    package var program: String
    /// At least one.
    package var problems: [Problem]

    package init(program: String, problems: [Problem]) {
        self.program = program
        self.problems = problems
    }

    /// 64 (`EX_USAGE`) when only the command line is wrong, else 78 (`EX_CONFIG`).
    package var exitStatus: Int32 {
        self.problems.allSatisfy(\.isUsage) ? 64 : 78
    }

    /// For standard error: one line a problem, and where to read on.
    package var description: String {
        var lines = self.problems.map { "\(self.program): \($0.text)" }
        lines.append("\(self.program): nothing was started; \(self.program) --help lists every setting")
        return lines.joined(separator: "\n")
    }
}
