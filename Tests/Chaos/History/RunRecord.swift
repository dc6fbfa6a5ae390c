/// What was done to the cluster, and what was seen of it: a line of `run.jsonl`, written by who runs the whole.
package struct RunRecord: Codable, Sendable, Hashable {
    package enum Event: String, Codable, Sendable {
        /// The first line: `devices` are in the fleets, and the machine has so many `cores`.
        case begun
        /// A phase began, or ended: `phase`, `isPlanned`. Phases follow each other; between them the cluster recovers,
        /// and what fails there belongs to the phase before.
        case phase
        case phaseEnded = "phase-ended"
        /// A process came, was first ready, was told to stop, ended with a status: `process`, `program`, `status`.
        case started
        case ready
        case stopping
        case ended
        /// What was done to a process: `process`.
        case killed
        case frozen
        case thawed
        case cut
        case mended
        /// The balancer in front of a service now knows these members: `service`, `members`.
        case members
        /// Where a device's session was, right before something was done: `di`, `process`.
        case placed
        /// When the store last acknowledged the lease of a process, as seen by its rest: `process`, and `at`.
        case renewed
        /// Sessions a process has: `process`, `count`.
        case sessions
        /// Sessions are as even as they were to become: `phase`, `count` of seconds is in `detail`.
        case even
        /// All devices have a session again: `phase`, and in `count` after how many seconds, counted from when there
        /// were pods for them.
        case back
        /// The devices did not all come back in time, and the run goes no further: `phase`, `detail`.
        case unrecovered
        /// What the processes of a `program` took of the processors: `count` in milliseconds.
        case processor
        /// The last line.
        case over
    }

    package var event: Event
    /// Nanoseconds since the machine's start.
    package var time: Int64
    package var phase: String?
    /// Nobody may notice: what fails in a planned phase is a fault of the gateway.
    package var isPlanned: Bool?
    /// Unique in a run: `pod-1`, `northbound-2`, `traffic`. A pod's log is `logs/{process}.log`.
    package var process: String?
    /// `coap-interface`, `northbound`, `registry`.
    package var program: String?
    package var status: Int?
    package var service: String?
    package var members: [String]?
    package var di: String?
    package var devices: Int?
    package var cores: Int?
    package var count: Int?
    package var at: Int64?
    package var detail: String?

    package init(_ event: Event, time: Int64) {
        self.event = event
        self.time = time
    }
}
