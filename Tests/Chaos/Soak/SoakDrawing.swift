/// The figures of a soak run as a table, and the script with which gnuplot draws it: a panel for each figure.
package struct SoakDrawing: Sendable {
    private let record: SoakRecord

    package init(_ record: SoakRecord) {
        self.record = record
    }

    private var drawn: [SoakSeries] { self.record.series.filter(\.figure.isJudged) }

    /// A line a second; what was not looked at is a `-`.
    package var tsv: String {
        let times = Set(self.drawn.flatMap { $0.points.map(\.seconds) }).sorted()
        let columns = self.drawn.map { series in
            Dictionary(series.points.map { ($0.seconds, $0.value) }) { $1 }
        }
        let head = (["seconds"] + self.drawn.map(\.name)).joined(separator: "\t")
        let lines = times.map { time in
            (["\((time * 10).rounded() / 10)"] + columns.map { $0[time].map { "\(Int($0))" } ?? "-" })
                .joined(separator: "\t")
        }
        return ([head] + lines).joined(separator: "\n") + "\n"
    }

    private static let colours = ["#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00"]
    private static let panels: [(title: String, figures: Set<SoakFigure>, scale: String)] = [
        ("memory, MiB", [.memory], "/1024.0"), ("open files", [.descriptors], ""),
        ("sockets, sessions, routes", [.sockets, .sessions, .routes], ""),
    ]

    package func script(tsv: String, svg: String) -> String {
        var lines = [
            "set terminal svg size 1200,900 noenhanced font 'Helvetica,13' background rgb 'white' dynamic",
            "set output '\(svg)'", "set datafile separator '\\t'", "set datafile missing '-'",
            "set multiplot layout \(Self.panels.count),1", "set xrange [0:\(max(1, Int(self.record.seconds)))]",
            "set yrange [0:*]", "set border 3 lc rgb '#555555'", "set tics nomirror out scale 0.6",
            "set grid ytics lc rgb '#CCCCCC' lw 0.6", "set key outside right top Left reverse samplen 1.2",
            "set lmargin 12",
            // What comes before is not judged.
            "set object 1 rectangle from first 0, graph 0 to first \(self.record.warmUp), graph 1 fc rgb '#EEEEEE' fs "
                + "solid noborder behind",
        ]
        for (index, panel) in Self.panels.enumerated() {
            if index == Self.panels.count - 1 { lines.append("set xlabel 'seconds since the load began'") }
            let plots = self.drawn.enumerated().filter { panel.figures.contains($0.element.figure) }.enumerated().map {
                order, item in
                "'\(tsv)' using 1:(column(\(item.offset + 2))\(panel.scale)) with lines lw 1.6 lc rgb "
                    + "'\(Self.colours[order % Self.colours.count])' title '\(item.element.name)'"
            }
            lines.append("set ylabel '\(panel.title)'")
            lines.append("plot \(plots.isEmpty ? "NaN notitle" : plots.joined(separator: ", "))")
        }
        return (lines + ["unset multiplot"]).joined(separator: "\n") + "\n"
    }
}
