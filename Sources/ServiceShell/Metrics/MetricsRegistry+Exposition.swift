extension MetricsRegistry {
    /// Everything in the text format that Prometheus reads, version 0.0.4.
    package func exposition() -> String {
        let (series, refused) = self.snapshot()
        var lines: [String] = []
        var name = ""
        for (key, instrument) in series {
            if key.name != name {
                name = key.name
                lines.append("# TYPE \(name) \(instrument.kind)")
            }
            switch instrument {
            case .counter(let counter): lines.append("\(name)\(key.labels) \(counter.value)")
            case .gauge(let gauge): lines.append("\(name)\(key.labels) \(Exposition.number(gauge.value))")
            case .histogram(let histogram): lines += Exposition.histogram(key, histogram)
            }
        }
        lines.append("# TYPE metrics_series_refused_total counter")
        lines.append("metrics_series_refused_total \(refused)")
        return lines.joined(separator: "\n") + "\n"
    }
}

/// Spelling rules of the text format.
enum Exposition {
    /// Dots and whatever else may not stand in a name become underscores.
    static func name(_ label: String) -> String {
        var bytes = label.utf8.map { byte -> UInt8 in
            switch byte {
            case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"): byte
            case UInt8(ascii: "0")...UInt8(ascii: "9"): byte
            default: UInt8(ascii: "_")
            }
        }
        if let first = bytes.first, (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(first) {
            bytes.insert(UInt8(ascii: "_"), at: 0)
        }
        return String(decoding: bytes, as: UTF8.self)
    }

    static func labels(_ dimensions: [(String, String)]) -> String {
        if dimensions.isEmpty { return "" }
        let pairs = dimensions.sorted { $0.0 < $1.0 }.map { "\(Self.name($0.0))=\"\(Self.escaped($0.1))\"" }
        return "{\(pairs.joined(separator: ","))}"
    }

    static func number(_ value: Double) -> String {
        if value.isNaN { return "NaN" }
        if value.isInfinite { return value < 0 ? "-Inf" : "+Inf" }
        return value == value.rounded() && abs(value) < 1e15 ? "\(Int64(value))" : "\(value)"
    }

    static func histogram(_ key: MetricsRegistry.Series, _ histogram: HistogramCell) -> [String] {
        let values = histogram.values
        var lines: [String] = []
        var below = 0
        for (bound, count) in zip(histogram.bounds.map(Self.number) + ["+Inf"], values.buckets) {
            below += count
            let labels = key.labels.isEmpty ? "{le=\"\(bound)\"}" : "\(key.labels.dropLast()),le=\"\(bound)\"}"
            lines.append("\(key.name)_bucket\(labels) \(below)")
        }
        lines.append("\(key.name)_sum\(key.labels) \(Self.number(values.sum))")
        lines.append("\(key.name)_count\(key.labels) \(below)")
        return lines
    }

    private static func escaped(_ value: String) -> String {
        var result = ""
        for character in value.unicodeScalars {
            switch character {
            case "\\": result += "\\\\"
            case "\"": result += "\\\""
            case "\n": result += "\\n"
            default: result.unicodeScalars.append(character)
            }
        }
        return result
    }
}
