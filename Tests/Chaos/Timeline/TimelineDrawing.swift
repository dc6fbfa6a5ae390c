/// The script with which gnuplot draws a `Timeline`: three panels over one axis of time.
package struct TimelineDrawing {
    package let timeline: Timeline
    /// What stands above it.
    package let title: String

    private static let width = 1400
    private static let height = 900
    private static let left = 0.065
    private static let right = 0.9
    /// Bottom and top of each panel, in parts of the height: sessions, failures, latency.
    private static let panels: [(bottom: Double, top: Double)] = [(0.555, 0.89), (0.355, 0.515), (0.075, 0.315)]
    /// Of pods, in the order they came; told apart by people who see few colours too.
    private static let colours = [
        "#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#7A5195", "#8C8C00", "#1B6F5C", "#A6761D",
        "#3B4CC0", "#B40426",
    ]
    /// One after the other in turn, so that neighbours can be told apart.
    private static let planned = ["#E3ECF5", "#F0F5FA"]
    private static let unplanned = ["#FADDCB", "#FDEDE2"]

    package init(_ timeline: Timeline, title: String) {
        self.timeline = timeline
        self.title = title
    }

    /// - Parameters:
    ///   - tsv: where the figures are.
    ///   - svg: where the drawing is to be.
    package func script(tsv: String, svg: String) -> String {
        ([
            "set terminal svg size \(Self.width),\(Self.height) noenhanced font 'Helvetica,13' background rgb 'white' dynamic",
            "set output \(Self.quoted(svg))",
            "file = \(Self.quoted(tsv))",
            "set datafile separator '\\t'",
            "set datafile missing '-'",
            "set multiplot",
            "set xrange [0:\(max(self.timeline.seconds.count - 1, 1))]",
            "set lmargin at screen \(Self.left)",
            "set rmargin at screen \(Self.right)",
            "set border 3 lc rgb '#555555'",
            "set tics nomirror out scale 0.6 textcolor rgb '#333333'",
            "set grid ytics lc rgb '#CCCCCC' lw 0.6",
            "set title ''",
        ] + self.shades + self.sessions + self.failures + self.latency + ["unset multiplot"])
        .joined(separator: "\n") + "\n"
    }

    // MARK: - Panels

    private var sessions: [String] {
        let plots = self.timeline.pods.enumerated().map { index, pod in
            let colour = Self.colours[index % Self.colours.count]
            // After as many pods as there are colours, they come again, dashed.
            let dash = index / Self.colours.count % 2 == 0 ? "" : " dt 2"
            return "file using 1:\(6 + index) with steps lw 2 lc rgb '\(colour)'\(dash) title \(Self.quoted(pod))"
        }
        return self.panel(0, "sessions") + self.names + [
            "set label 1000 \(Self.quoted(self.title)) at screen \(Self.left), screen 0.968 left font ',16' "
                + "tc rgb '#222222'",
            Self.legend,
            "set format x ''",
            "set yrange [0:*]",
            "plot \(plots.isEmpty ? "NaN title 'none were counted'" : plots.joined(separator: ", "))",
        ]
    }

    private var failures: [String] {
        let most = self.timeline.seconds.map(\.failures).max() ?? 0
        return self.panel(1, "failures a second") + [
            // An empty panel has an axis too.
            "set yrange [0:\(most == 0 ? "1" : "*")]",
            "set ytics \(Self.step(most))",
            "set style fill solid 0.9 noborder",
            "plot file using 1:3 with boxes lc rgb '#C0392B' title 'failed requests'",
            "set ytics autofreq",
        ]
    }

    private var latency: [String] {
        self.panel(2, "latency") + [
            "set logscale y",
            "set ytics ('0.1 ms' 0.1, '1 ms' 1, '10 ms' 10, '100 ms' 100, '1 s' 1000, '10 s' 10000, '1 min' 60000)",
            "set yrange [*:*]",
            "set format x",
            "set xlabel 'seconds since the run began' offset 0,0.3",
            "plot file using 1:5 with lines lw 1.6 lc rgb '#D55E00' title '99 %', "
                + "file using 1:4 with lines lw 1.6 lc rgb '#0072B2' title '50 %'",
        ]
    }

    /// Between the marks of an axis that has at most five.
    private static func step(_ most: Int) -> Int {
        var unit = 1
        while unit * 50 < most { unit *= 10 }
        return [1, 2, 5, 10].first { $0 * unit * 5 >= most }.map { $0 * unit } ?? unit
    }

    private func panel(_ index: Int, _ name: String) -> [String] {
        let (bottom, top) = Self.panels[index]
        let isCrowded = index == 0 && self.timeline.pods.count > 14
        return [
            "unset label",
            "set bmargin at screen \(bottom)",
            "set tmargin at screen \(top)",
            "set key at screen \(Self.right + 0.01), screen \(top) left top vertical Left reverse samplen 1.2 "
                + "spacing \(isCrowded ? 0.85 : 1.15) font ',\(isCrowded ? 9 : 12)' tc rgb '#333333'",
            "set label 1002 '\(name)' at screen 0.011, screen \((bottom + top) / 2) center rotate font ',13' "
                + "tc rgb '#333333'",
        ]
    }

    // MARK: - Phases

    /// Behind all panels.
    private var shades: [String] {
        self.timeline.phases.enumerated().compactMap { index, phase in
            guard index > 0 || phase.isPlanned || phase.name != "before" else { return nil }
            let colour = (phase.isPlanned ? Self.planned : Self.unplanned)[index % 2]
            return
                "set object \(index + 1) rectangle from first \(phase.begin), graph 0 to first \(phase.end), graph 1 "
                + "fc rgb '\(colour)' fs solid noborder behind"
        }
    }

    /// Above the first panel, turned where they would not fit.
    private var names: [String] {
        let total = max(Double(self.timeline.seconds.count), 1)
        let pixels = Double(Self.width) * (Self.right - Self.left) / total
        let isTight = self.timeline.phases.dropFirst().contains {
            ($0.end - $0.begin) * pixels < Double($0.name.count) * 7 + 6
        }
        return self.timeline.phases.enumerated().compactMap { index, phase in
            guard index > 0 || phase.name != "before" else { return nil }
            let colour = phase.isPlanned ? "#3A5A78" : "#B4501E"
            let middle = (phase.begin + phase.end) / 2
            return "set label \(index + 1) \(Self.quoted(phase.name)) at first \(middle), graph 1 "
                + (isTight ? "left rotate by 30 offset 0,0.4" : "center offset 0,0.6")
                + " font ',12' tc rgb '\(colour)'"
        }
    }

    /// What the shades mean.
    private static let legend =
        "set label 1001 'blue: planned, nobody may notice; orange: unplanned.  Latency counts from when a request "
        + "was due, without the devices'' own time.' at screen \(Self.right), screen 0.968 right font ',11' "
        + "tc rgb '#777777'"

    /// In single quotes nothing but the quote itself means something, unless the terminal reads marks of its own.
    private static func quoted(_ text: String) -> String {
        var quoted = ""
        for character in text {
            switch character {
            case "'": quoted += "''"
            case "\n", "\r": quoted += " "
            default: quoted.append(character)
            }
        }
        return "'\(quoted)'"
    }
}
