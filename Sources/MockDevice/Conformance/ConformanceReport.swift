/// What a run says to people and to other programs.
package enum ConformanceReport {
    /// One line of the table.
    package static func line(_ result: CaseResult) -> String {
        let one = result.conformanceCase
        let number = "\(one.number)".padded(3)
        let head = "\(number) \(result.verdict.word.padded(6)) \(one.group.rawValue.padded(13)) \(one.title)"
        switch result.verdict {
        case .passed: return "\(head) (\(result.duration.spoken))"
        case .skipped(let reason), .inside(let reason): return "\(head): \(reason)"
        case .failed: return head
        }
    }

    /// What stands below the line of a case that failed.
    package static func details(_ result: CaseResult) -> [String] {
        guard case .failed(let failure) = result.verdict else { return [] }
        let place = failure.stage == .given ? "        on the way to what the case is about" : nil
        return [place].compactMap { $0 } + [
            "        expected  \(sanitized(failure.expected, limit: 600))",
            "        got       \(sanitized(failure.got, limit: 1200))",
            "        clause    \(result.conformanceCase.clause)",
        ] + result.wire.map { "        | \($0)" }
    }

    /// A case in the list of cases.
    package static func listing(_ one: ConformanceCase) -> String {
        let mark = one.isInside ? "inside" : one.isSlow ? "slow" : ""
        return
            "\("\(one.number)".padded(3)) \(one.group.rawValue.padded(13)) \(mark.padded(6)) \(one.title) [\(one.clause)]"
    }

    /// The last line.
    package static func summary(_ results: [CaseResult]) -> String {
        func count(_ word: String) -> Int { results.count { $0.verdict.word == word } }
        return "\(results.count) cases: \(count("pass")) passed, \(count("FAIL")) failed, \(count("skip")) skipped, "
            + "\(count("inside")) cannot be seen from outside."
    }

    /// The form that build servers read.
    package static func junit(_ results: [CaseResult], name: String) -> String {
        func count(_ condition: (Verdict) -> Bool) -> Int { results.count { condition($0.verdict) } }
        let failures = count { if case .failed = $0 { true } else { false } }
        let skipped = count {
            switch $0 {
            case .skipped, .inside: true
            case .passed, .failed: false
            }
        }
        let time = results.reduce(Duration.zero) { $0 + $1.duration }
        var lines = [
            #"<?xml version="1.0" encoding="UTF-8"?>"#,
            #"<testsuite name="\#(xml(name))" tests="\#(results.count)" failures="\#(failures)" "#
                + #"skipped="\#(skipped)" time="\#(time.inSeconds)">"#,
        ]
        for result in results {
            let one = result.conformanceCase
            let head =
                #"  <testcase classname="\#(one.group.rawValue)" name="\#(one.number): \#(xml(one.title))" "#
                + #"time="\#(result.duration.inSeconds)""#
            switch result.verdict {
            case .passed:
                lines.append(head + "/>")
            case .skipped(let reason), .inside(let reason):
                lines += [head + ">", #"    <skipped message="\#(xml(reason))"/>"#, "  </testcase>"]
            case .failed(let failure):
                lines += [
                    head + ">",
                    #"    <failure message="\#(xml(failure.description))">\#(xml(one.clause))"#,
                ]
                lines += result.wire.map(xml) + ["    </failure>", "  </testcase>"]
            }
        }
        return (lines + ["</testsuite>", ""]).joined(separator: "\n")
    }

    private static func xml(_ text: String) -> String {
        var result = ""
        for character in sanitized(text, limit: 4000) {
            switch character {
            case "&": result += "&amp;"
            case "<": result += "&lt;"
            case ">": result += "&gt;"
            case "\"": result += "&quot;"
            default: result.append(character)
            }
        }
        return result
    }
}

extension Duration {
    /// "1.234".
    fileprivate var inSeconds: String {
        let milliseconds = Int64(self / .milliseconds(1))
        let rest = "\(milliseconds % 1000)"
        return "\(milliseconds / 1000)." + String(repeating: "0", count: 3 - rest.count) + rest
    }
}
