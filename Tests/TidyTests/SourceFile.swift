import FoundationEssentials

/// One file as the rules see it.
struct SourceFile: Sendable {
    /// From the root of the repository: `Sources/CoAP/Message.swift`.
    let path: String
    let text: String
    /// As they stand in the file.
    let lines: [String]
    /// The same lines without comments, and with every string literal emptied.
    let code: [String]
    /// Which lines have a comment, alone or behind code.
    let hasComment: [Bool]

    init(path: String, text: String) {
        self.path = path
        self.text = text
        self.lines = text.split(separator: "\n", omittingEmptySubsequences: false).map(String.init)
        var stripper = Stripper()
        var code: [String] = []
        var hasComment: [Bool] = []
        for line in self.lines {
            let result = stripper.strip(line)
            code.append(result.code)
            hasComment.append(result.hasComment)
        }
        self.code = code
        self.hasComment = hasComment
    }

    var isSwift: Bool { self.path.hasSuffix(".swift") }
    var isSource: Bool { self.path.hasPrefix("Sources/") }
    var isTest: Bool { self.path.hasPrefix("Tests/") }

    /// The target the file belongs to: `CoAP`, `CoAPTests`, `Programs`.
    var target: String {
        let parts = self.path.split(separator: "/")
        return parts.count > 2 ? String(parts[1]) : ""
    }

    /// Whether a comment stands on the line or right above it.
    func isExplained(_ index: Int) -> Bool {
        if self.hasComment[index] { return true }
        var above = index - 1
        // A statement may take a few lines; its comment is above the first.
        var reach = 3
        while above >= 0, reach > 0 {
            if self.hasComment[above] { return true }
            above -= 1
            reach -= 1
        }
        return false
    }
}

/// Takes comments and the content of string literals out of Swift, line by line.
///
/// It knows line comments, block comments, plain, raw and multi-line strings. It takes an interpolation for a part of
/// its string, so code inside of one is not seen.
struct Stripper {
    private var inBlockComment = false
    /// The end of the multi-line string we are in.
    private var multilineEnd: String?

    mutating func strip(_ line: String) -> (code: String, hasComment: Bool) {
        var code = ""
        var hasComment = self.inBlockComment
        var rest = line[...]
        while let character = rest.first {
            if let end = self.multilineEnd {
                guard let range = rest.firstRange(of: end) else { return (code, hasComment) }
                rest = rest[range.upperBound...]
                self.multilineEnd = nil
                code += "\"\""
            } else if self.inBlockComment {
                guard let range = rest.firstRange(of: "*/") else { return (code, true) }
                rest = rest[range.upperBound...]
                self.inBlockComment = false
            } else if rest.hasPrefix("//") {
                return (code, true)
            } else if rest.hasPrefix("/*") {
                hasComment = true
                self.inBlockComment = true
            } else if character == "\"" || character == "#", let opened = Self.openString(rest) {
                rest = opened.rest
                if opened.isMultiline {
                    self.multilineEnd = opened.end
                } else {
                    rest = Self.afterString(rest, end: opened.end, isRaw: opened.end.count > 1)
                    code += "\"\""
                }
            } else {
                code.append(character)
                rest.removeFirst()
            }
        }
        return (code, hasComment)
    }

    private static func openString(_ text: Substring) -> (rest: Substring, end: String, isMultiline: Bool)? {
        let marks = text.prefix { $0 == "#" }
        let rest = text.dropFirst(marks.count)
        if rest.hasPrefix("\"\"\"") { return (rest.dropFirst(3), "\"\"\"" + marks, true) }
        if rest.hasPrefix("\"") { return (rest.dropFirst(), "\"" + marks, false) }
        return nil
    }

    private static func afterString(_ text: Substring, end: String, isRaw: Bool) -> Substring {
        var rest = text
        while !rest.isEmpty {
            if rest.hasPrefix(end) { return rest.dropFirst(end.count) }
            rest = rest.dropFirst(!isRaw && rest.first == "\\" ? 2 : 1)
        }
        return rest
    }
}

extension SourceFile {
    /// Everything of ours that is text.
    static func all() async throws -> [SourceFile] {
        let root = URL(fileURLWithPath: #filePath)
            .deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent().path
        let alone = [
            "README.md", "CONTRIBUTING.md", "SECURITY.md", "Package.swift", "Makefile", "Dockerfile", "openapi.yaml",
            ".ci/run", "Benchmarks/Package.swift", "Fuzzing/Package.swift",
        ]
        var paths = alone.filter { FileManager.default.fileExists(atPath: "\(root)/\($0)") }
        // What else is in these two leads to Sources, was built or was measured.
        let benchmarks = ["CEpoll", "Codecs", "PingLoad", "compare"].map { "Benchmarks/\($0)" }
        let fuzzing = ["Targets", "Corpus", "Regressions"].map { "Fuzzing/\($0)" }
        for folder in ["Sources", "Tests", "docs", "scripts"] + benchmarks + fuzzing {
            paths += try FileManager.default.subpathsOfDirectory(atPath: "\(root)/\(folder)").map { "\(folder)/\($0)" }
        }
        var files: [SourceFile] = []
        for path in paths.sorted() {
            var isDirectory = false
            guard FileManager.default.fileExists(atPath: "\(root)/\(path)", isDirectory: &isDirectory), !isDirectory
            else { continue }
            let data = try Data(contentsOf: URL(fileURLWithPath: "\(root)/\(path)"))
            // Recorded inputs are bytes; only their path concerns us.
            files.append(SourceFile(path: path, text: String(validating: data, as: UTF8.self) ?? ""))
            await Task.yield()
        }
        return files
    }
}
