// How numbers look in a table.

/// "12,345".
package func grouped(_ number: Int) -> String {
    var result = ""
    for (index, digit) in String(abs(number)).reversed().enumerated() {
        if index > 0, index % 3 == 0 { result.append(",") }
        result.append(digit)
    }
    return (number < 0 ? "-" : "") + String(result.reversed())
}

/// One digit behind the point, unless it is 0: "99.9", "50".
package func decimal(_ number: Double) -> String {
    let tenths = Int((number * 10).rounded())
    return tenths % 10 == 0 ? "\(tenths / 10)" : "\(tenths / 10).\(tenths % 10)"
}

extension Duration {
    /// "850 µs", "12.3 ms", "1.24 s".
    var short: String {
        let microseconds = Int64(self / .microseconds(1))
        switch microseconds {
        case ..<1000: return "\(microseconds) µs"
        case ..<1_000_000: return "\(microseconds / 1000).\(microseconds % 1000 / 100) ms"
        default:
            let hundredths = microseconds / 10_000
            return "\(hundredths / 100).\(hundredths % 100 < 10 ? "0" : "")\(hundredths % 100) s"
        }
    }
}

extension String {
    package func padded(_ width: Int) -> String { self + String(repeating: " ", count: max(0, width - self.count)) }
    package func leading(_ width: Int) -> String {
        String(repeating: " ", count: max(0, width - self.count)) + self
    }
}
