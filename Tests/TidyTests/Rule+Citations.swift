extension Rule {
    /// The specifications we follow. A number that is not here is a slip of the keyboard, or a specification to add.
    static let specifications: Set<String> = [
        "2818", "3339", "3629", "3986", "4291",
        "4514", "4648", "5077", "5234", "5246", "5280", "5869", "6066", "6125", "6455", "6585",
        "6690", "6750", "6838", "7231", "7240", "7252",
        "7301", "7515", "7641", "7925", "7959", "7967", "8075", "8132", "8174", "8259", "8323", "8446", "8516", "8613",
        "8615", "8768", "8949", "8974", "9110", "9111", "9112", "9175", "9176", "9177", "9457", "9562", "9651", "9668",
    ]

    static let citations = [
        Rule(sentence: "Specifications are cited as RFC 8323 §5.3.1 and OCF CNC §8.1") { file in
            file.lines.enumerated().compactMap { index, line in
                Self.badCitation(line).map { Violation(file: file, index: index, problem: $0) }
            }
        }
    ]

    /// What is wrong with the citations in a line.
    static func badCitation(_ line: String) -> String? {
        for part in Self.pieces(of: line, after: "RFC") {
            let isSpaced = part.hasPrefix(" ")
            let rest = part.drop { $0 == " " || $0 == "-" }
            let number = String(rest.prefix { $0.isASCII && $0.isNumber })
            // A type of swift-certificates is called so, which cites nothing.
            if number.isEmpty || rest.hasPrefix("5280Policy") { continue }
            guard isSpaced, part.dropFirst().hasPrefix(number) else { return "write RFC \(number), with one blank" }
            guard Self.specifications.contains(number) else { return "RFC \(number) is not among the specifications" }
            if let problem = Self.badSection(rest.dropFirst(number.count), of: "RFC \(number)") { return problem }
        }
        for name in ["CNC", "Core", "Security", "Bridging"] {
            for part in Self.pieces(of: line, after: "OCF \(name)") {
                if let problem = Self.badSection(part, of: "OCF \(name)") { return problem }
            }
        }
        return nil
    }

    /// Sections are given with a § and a number, right behind the document.
    private static func badSection(_ rest: Substring, of document: String) -> String? {
        let text = rest.drop { $0 == " " || $0 == "," || $0 == ":" }
        let lowered = text.prefix(8).lowercased()
        if ["section", "sec.", "chapter", "clause"].contains(where: { lowered.hasPrefix($0) }) {
            return "write \(document) §…"
        }
        if let first = text.first, first.isNumber, text.prefix(4).contains(".") { return "write \(document) §…" }
        guard text.hasPrefix("§") else { return nil }
        let isNumbered = text.dropFirst().first.map { $0.isNumber || $0.isUppercase || "…\"".contains($0) } ?? false
        guard rest.hasPrefix(" §"), isNumbered else {
            return "write \(document) §5.3.1: one blank before the §, none behind"
        }
        return nil
    }

    private static func pieces(of line: String, after word: String) -> [Substring] {
        var result: [Substring] = []
        var rest = line[...]
        while let range = rest.firstRange(of: word) {
            rest = rest[range.upperBound...]
            result.append(rest)
        }
        return result
    }
}
