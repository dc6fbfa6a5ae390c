/// What a device of a fleet wrote down: a line of `mock-device run --history` (docs/fleet.md).
package struct DeviceRecord: Codable, Sendable, Hashable {
    package enum Event: String, Codable, Sendable {
        case connected
        case signedIn = "signed-in"
        case refused
        case released
        case closed
        case delivered
        case answered
        case unanswered
        case gaveUp = "gave-up"
        /// Not of a device: so many lines are missing here.
        case lost
    }

    package var event: Event
    /// Since the machine's start, nanoseconds: the same clock for every process of a run.
    package var time: Int64?
    package var di: String?
    /// Which connection of the device, from 1.
    package var connection: Int?
    /// Method and path.
    package var request: String?
    /// The request's mark: of a GET in its query, as text; of a POST in its body.
    package var queryMark: String?
    package var bodyMark: Int?
    package var code: String?
    package var detail: String?
    /// How many lines were lost.
    package var count: Int?

    enum CodingKeys: String, CodingKey {
        case event
        case time = "mono_ns"
        case di
        case connection
        case request
        case queryMark = "query_n"
        case bodyMark = "body_n"
        case code
        case detail
        case count
    }

    package init(_ event: Event, time: Int64? = nil, di: String? = nil, connection: Int? = nil) {
        self.event = event
        self.time = time
        self.di = di
        self.connection = connection
    }
}
