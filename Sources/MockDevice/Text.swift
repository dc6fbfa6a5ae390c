/// `text` as it may go to a terminal: control characters, bidirectional overrides and other invisible ones are shown as
/// `\u{…}`, and what exceeds `limit` characters is cut. Whatever a peer sent passes through here before it is printed.
package func sanitized(_ text: String, limit: Int = 4096) -> String {
    var result = String.UnicodeScalarView()
    var count = 0
    for scalar in text.unicodeScalars {
        guard count < limit else {
            result.append(contentsOf: "…".unicodeScalars)
            break
        }
        count += 1
        if scalar.isHarmless {
            result.append(scalar)
        } else {
            result.append(contentsOf: "\\u{\(String(scalar.value, radix: 16))}".unicodeScalars)
        }
    }
    return String(result)
}

extension Unicode.Scalar {
    /// False for what moves the cursor, starts an escape sequence or reorders what stands around it.
    fileprivate var isHarmless: Bool {
        switch self.properties.generalCategory {
        case .control, .format, .lineSeparator, .paragraphSeparator, .surrogate, .privateUse, .unassigned: false
        case .uppercaseLetter, .lowercaseLetter, .titlecaseLetter, .modifierLetter, .otherLetter, .nonspacingMark,
            .spacingMark, .enclosingMark, .decimalNumber, .letterNumber, .otherNumber, .connectorPunctuation,
            .dashPunctuation, .openPunctuation, .closePunctuation, .initialPunctuation, .finalPunctuation,
            .otherPunctuation, .mathSymbol, .currencySymbol, .modifierSymbol, .otherSymbol, .spaceSeparator:
            true
        @unknown default: false
        }
    }
}

extension StringProtocol {
    /// Without blanks, tabs and line ends at both ends.
    var trimmed: String {
        let blanks: Set<Character> = [" ", "\t", "\r", "\n", "\r\n"]
        guard let first = self.firstIndex(where: { !blanks.contains($0) }),
            let last = self.lastIndex(where: { !blanks.contains($0) })
        else { return "" }
        return String(self[first...last])
    }

    /// Where `text` first stands.
    func range(ofFirst text: String) -> Range<Index>? {
        var start = self.startIndex
        while start < self.endIndex {
            let rest = self[start...]
            if rest.hasPrefix(text) {
                return start..<(rest.index(start, offsetBy: text.count, limitedBy: rest.endIndex) ?? rest.endIndex)
            }
            start = self.index(after: start)
        }
        return nil
    }
}

extension Duration {
    /// For people: "20 ms", "1.5 s", "40 s", "10 min", "2 h 5 min".
    var spoken: String {
        let milliseconds = self.components.seconds > 1 << 40 ? Int64.max / 2 : Int64(self / .milliseconds(1))
        let seconds = milliseconds / 1000
        switch milliseconds {
        case ..<1000: return "\(milliseconds) ms"
        case ..<10_000: return "\(seconds).\(abs(milliseconds % 1000) / 100) s"
        case ..<120_000: return "\(seconds) s"
        case ..<7_200_000: return "\(seconds / 60) min"
        case ..<172_800_000: return "\(seconds / 3600) h\(seconds % 3600 >= 60 ? " \(seconds % 3600 / 60) min" : "")"
        default: return "\(seconds / 86_400) days"
        }
    }
}
