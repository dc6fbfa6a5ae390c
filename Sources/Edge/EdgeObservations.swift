import Cloud
import CoAP
import Metrics
import NIOCore

/// The observations of one edge, on its event loop: who observes what, by which registration, and in which order those
/// that were lost are registered anew. `EdgeResponder` fills and obeys it.
final class EdgeObservations {
    struct Observer {
        let uid: String
        let event: @Sendable (ObservationEvent) -> Void
    }

    /// What all share who observe the same on behalf of the same user.
    struct Entry {
        let di: DeviceID
        let uid: String
        let request: Request
        var machine = ObservationMachine()
        /// The registration that counts: what comes from others is of no interest.
        var registration: UInt64 = 0
        /// Whether its first answer is still to come.
        var awaitsAnswer = false
        /// Whether more answers are to come after the first.
        var isStanding = false
        var upstream: ObservationHandle?
        /// Whether it still counts among the requests in flight.
        var isInFlight = true
        /// Whether it has its turn in `queue`.
        var hasTurn = false
        /// The timer that is set.
        var timer: NIODeadline?
    }

    var table: ObservationTable
    var observers: [ObservationTable.ObserverID: Observer] = [:]
    /// By their `UpstreamID` in `table`.
    var entries: [UInt64: Entry] = [:]
    var queue = RegistrationQueue()
    /// When the queue is looked at next.
    var queueTimer: NIODeadline?
    var isClosing = false
    private let gauge = Gauge(label: "edge.observations")
    private let recreated = Counter(label: "edge.observations.recreated")

    /// - Parameter maximum: observers. Whoever fills it admits no more.
    init(maximum: Int) {
        self.table = ObservationTable(limits: .init(upstream: maximum, observers: maximum))
    }

    /// One has come or gone.
    func count() {
        self.gauge.record(self.entries.count)
    }

    /// One is registered at its device's next connection.
    func countRecreated() {
        self.recreated.increment()
    }
}
