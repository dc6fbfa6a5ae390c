package import Foundation

/// Everything that was seen in a soak run: what is judged.
package struct SoakRecord: Codable, Sendable, Hashable {
    /// What there is when nothing happens any more.
    package struct Rest: Codable, Sendable, Hashable {
        package var name: String
        /// How many devices are to be connected.
        package var devices: Int
        package var sessions: Int
        package var sockets: Int
        package var routes: Int
        /// Of each process.
        package var descriptors: [String: Int]
        /// What else has to be 0 by then, by the name in `/metrics`.
        package var gauges: [String: Int]
        /// How long it took to become so, or how long was waited in vain.
        package var seconds: Double

        package init(
            _ name: String, devices: Int, sessions: Int, sockets: Int, routes: Int, descriptors: [String: Int] = [:],
            gauges: [String: Int] = [:], seconds: Double = 0
        ) {
            self.name = name
            self.devices = devices
            self.sessions = sessions
            self.sockets = sockets
            self.routes = routes
            self.descriptors = descriptors
            self.gauges = gauges
            self.seconds = seconds
        }
    }

    /// Who came and said what no device says.
    package struct Strangers: Codable, Sendable, Hashable {
        /// How many were to come in all the time, and how many did.
        package var due: Int
        package var begun: Int
        /// Connections that were not taken.
        package var refused: Int
        /// Ended by the gateway.
        package var closed: Int
        /// Nobody ended these within a minute and a half, though they never signed in.
        package var outstayed: Int
        /// By what they did.
        package var habits: [String: Int]
        package var outstayedHabits: [String: Int]

        package init(
            due: Int, begun: Int, refused: Int = 0, closed: Int = 0, outstayed: Int = 0, habits: [String: Int] = [:],
            outstayedHabits: [String: Int] = [:]
        ) {
            self.due = due
            self.begun = begun
            self.refused = refused
            self.closed = closed
            self.outstayed = outstayed
            self.habits = habits
            self.outstayedHabits = outstayedHabits
        }
    }

    /// Since the load began: what comes before is not judged.
    package var warmUp: Double
    package var seconds: Double
    package var series: [SoakSeries]
    /// With the steady devices alone, before all others came.
    package var before: Rest
    /// The same afterwards, then without any device.
    package var after: [Rest]
    package var strangers: [Strangers]
    /// Programs of the load that were not content: steady devices that failed, traffic that broke off.
    package var complaints: [String]

    package init(
        warmUp: Double, seconds: Double, series: [SoakSeries], before: Rest, after: [Rest], strangers: [Strangers],
        complaints: [String] = []
    ) {
        self.warmUp = warmUp
        self.seconds = seconds
        self.series = series
        self.before = before
        self.after = after
        self.strangers = strangers
        self.complaints = complaints
    }

    package func json() throws -> Data {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        return try encoder.encode(self)
    }
}
