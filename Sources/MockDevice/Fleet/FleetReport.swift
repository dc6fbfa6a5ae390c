import CBOR
import NIOCore
import OCF

/// What a run says at its end, to people and to other programs.
package struct FleetReport: Sendable {
    package var profile: FleetProfile.Name
    package var quirks: [FleetQuirk]
    package var seed: UInt64
    package var duration: Duration
    package var counts: FleetCounts
    package var latencies: FleetLatencies
    /// The most of each in any one second.
    package var peaks: [String: Double]
    /// From the start until every device had signed in; nil if not all have.
    package var allSignedIn: Duration?
    /// What the devices take, all of them; nil if the system does not say.
    package var memoryBytes: Int?
    /// Connected while the memory was looked at.
    package var connected: Int

    package var bytesPerDevice: Int? {
        self.connected > 0 ? self.memoryBytes.map { $0 / self.connected } : nil
    }

    // MARK: - For people

    package var table: [String] {
        var lines = [
            "",
            "\(grouped(self.counts.devices)) devices, profile \(self.profile.rawValue)"
                + (self.quirks.isEmpty ? "" : " with \(self.quirks.map(\.rawValue).joined(separator: ", "))")
                + ", seed \(self.seed), \(self.duration.spoken)",
            "  signed in at least once  \(grouped(self.counts.everSignedIn))"
                + (self.allSignedIn.map { ", the last after \($0.spoken)" } ?? ""),
            "  gave up                  \(grouped(self.counts.gaveUp))",
        ]
        if let whole = self.memoryBytes, let each = self.bytesPerDevice {
            lines.append(
                "  memory                   \(decimal(Double(whole) / 1_048_576)) MiB for \(grouped(self.connected)) "
                    + "connected devices: \(decimal(Double(each) / 1024)) KiB each")
        }
        lines += ["", Self.head]
        for (name, count) in self.counts.rates {
            let peak = decimal(self.peaks[name] ?? 0)
            lines.append(
                "  \(name.padded(22))\(grouped(count).leading(10))\(self.rate(count).leading(10))\(peak.leading(10))")
        }
        let summaries = FleetLatency.allCases.compactMap { latency in
            self.latencies.summary(of: latency).map { (latency, $0) }
        }
        if !summaries.isEmpty {
            lines += ["", LatencySummary.head("how long")]
            lines += summaries.map { latency, summary in summary.row(latency.rawValue) }
        }
        guard !self.counts.failures.isEmpty else { return lines + ["", "no failures"] }
        lines += ["", "\(grouped(self.counts.failed)) failures, by cause"]
        for (failure, count) in self.sortedFailures {
            lines.append("  \(grouped(count).leading(10))  \(failure)")
        }
        return lines
    }

    private static let head = "  what                       count  a second   at most"

    private func rate(_ count: Int) -> String {
        let seconds = max(self.duration / .seconds(1), 0.001)
        return decimal(Double(count) / seconds)
    }

    private var sortedFailures: [(FleetFailure, Int)] {
        self.counts.failures.map { ($0.key, $0.value) }
            .sorted { $0.1 != $1.1 ? $0.1 > $1.1 : $0.0.description < $1.0.description }
    }

    // MARK: - For programs

    /// Durations are in microseconds.
    package var json: String {
        func number(_ value: Int) -> DataItem { DataItem(integer: Int64(value)) }
        func duration(_ value: Duration) -> DataItem { DataItem(integer: Int64(value / .microseconds(1))) }
        let latencies = FleetLatency.allCases.compactMap { latency -> DataItem.Pair? in
            guard let summary = self.latencies.summary(of: latency) else { return nil }
            var pairs: [DataItem.Pair] = [
                .init("count", number(summary.count)), .init("min_us", duration(summary.least)),
            ]
            for (percent, value) in zip(LatencySummary.percents, summary.percentiles) {
                pairs.append(.init(.text("p\(decimal(percent))_us"), duration(value)))
            }
            pairs.append(.init("max_us", duration(summary.most)))
            return .init(.text(latency.rawValue), .map(pairs))
        }
        let failures = self.sortedFailures.map { failure, count in
            DataItem.map([
                "what": .text(failure.what), "cause": .text(failure.cause), "count": number(count),
            ])
        }
        let item: DataItem = .map([
            "profile": .text(self.profile.rawValue), "quirks": .array(self.quirks.map { .text($0.rawValue) }),
            "seed": .unsigned(self.seed), "duration_us": duration(self.duration),
            "devices": number(self.counts.devices), "begun": number(self.counts.begun),
            "signed_in_once": number(self.counts.everSignedIn), "signed_in": number(self.counts.signedIn),
            "gave_up": number(self.counts.gaveUp),
            "all_signed_in_us": self.allSignedIn.map(duration) ?? .null,
            "memory_bytes": self.memoryBytes.map(number) ?? .null,
            "bytes_per_device": self.bytesPerDevice.map(number) ?? .null,
            "counts": .map(self.counts.rates.map { .init(.text($0.name), number($0.count)) }),
            "peaks_per_second": .map(
                self.counts.rates.map { .init(.text($0.name), .float(self.peaks[$0.name] ?? 0)) }),
            "latencies": .map(latencies), "failures": .array(failures),
        ])
        return String(buffer: JSONCoding.encode(item)) + "\n"
    }
}
