/// What is measured of a process, or of what it has, again and again.
package enum SoakFigure: String, Codable, Sendable, CaseIterable {
    /// Pages of its own that are in memory, in KiB. Those of its file come and go with the machine's cache.
    case memory
    /// Open files.
    case descriptors
    /// Sockets at the port for devices, without those that no process has any more.
    case sockets
    /// Sessions in the table.
    case sessions
    /// Routes in Redis that lead to it.
    case routes
    /// Connections that have ended, requests that were answered: what a leak is counted by.
    case connections
    case requests

    /// What only grows says nothing by doing so.
    package var isJudged: Bool { self != .connections && self != .requests }

    /// By how much it may grow while it is watched: what allocators, pools and chance do in a run that leaks nothing.
    ///
    /// The bound does not grow with the time, so a longer run finds a smaller leak.
    package func allowance(typical: Double) -> Double {
        switch self {
        case .memory: 2048 + typical / 50
        case .descriptors, .sockets, .sessions, .routes, .connections, .requests: 8 + typical / 20
        }
    }

    package var unit: String { self == .memory ? "KiB" : "" }
}

/// One figure of one process over the time of a run.
package struct SoakSeries: Codable, Sendable, Hashable {
    package struct Point: Codable, Sendable, Hashable {
        /// Since the load began.
        package var seconds: Double
        package var value: Double

        package init(seconds: Double, value: Double) {
            self.seconds = seconds
            self.value = value
        }
    }

    package var process: String
    package var figure: SoakFigure
    /// In the order of time.
    package var points: [Point]

    package init(_ process: String, _ figure: SoakFigure, _ points: [Point] = []) {
        self.process = process
        self.figure = figure
        self.points = points
    }

    package var name: String { "\(self.process) \(self.figure.rawValue)" }
}

/// How a figure went after the warm-up.
package struct SoakTrend: Codable, Sendable, Hashable {
    /// A second; the median of the slopes between all pairs of points (Theil and Sen). Up to a quarter of the points
    /// may be anywhere without moving it much, and one step is no slope, while a staircase is.
    package var slope: Double
    package var typical: Double
    package var seconds: Double

    /// Over the time that was watched.
    package var growth: Double { self.slope * self.seconds }

    /// More points than these are joined, so that the pairs of a long run can be counted.
    static let maximumPoints = 200
    /// Fewer do not tell.
    static let minimumPoints = 15

    /// - Returns: nil if there is too little after the warm-up to tell.
    package init?(_ series: SoakSeries, after warmUp: Double) {
        let points = Self.joined(series.points.filter { $0.seconds >= warmUp })
        guard points.count >= Self.minimumPoints, let first = points.first, let last = points.last,
            last.seconds > first.seconds
        else { return nil }
        var slopes: [Double] = []
        for (index, one) in points.enumerated() {
            for other in points[(index + 1)...] where other.seconds > one.seconds {
                slopes.append((other.value - one.value) / (other.seconds - one.seconds))
            }
        }
        self.slope = Self.median(slopes)
        self.typical = Self.median(points.map(\.value))
        self.seconds = last.seconds - first.seconds
    }

    /// Neighbours become one point with the median of their values.
    private static func joined(_ points: [SoakSeries.Point]) -> [SoakSeries.Point] {
        let size = (points.count + Self.maximumPoints - 1) / Self.maximumPoints
        guard size > 1 else { return points }
        return stride(from: 0, to: points.count, by: size).map { start in
            let part = points[start..<min(start + size, points.count)]
            return SoakSeries.Point(
                seconds: self.median(part.map(\.seconds)), value: self.median(part.map(\.value)))
        }
    }

    static func median(_ values: [Double]) -> Double {
        guard !values.isEmpty else { return 0 }
        let sorted = values.sorted()
        let middle = sorted.count / 2
        return sorted.count.isMultiple(of: 2) ? (sorted[middle - 1] + sorted[middle]) / 2 : sorted[middle]
    }
}
