/// One HTTP request of the steady traffic, written when it is over: a line of `traffic.jsonl` whose `event` is
/// `request`.
package struct RequestRecord: Codable, Sendable, Hashable {
    package var event = "request"
    /// Its mark, which no other request of the run has.
    package var n: Int
    package var di: String
    /// `GET` with `?n=…`, or `POST` with `"n"` in the body.
    package var method: String
    /// When it was to begin by the offered rate, when its first byte was written, when its last came: nanoseconds
    /// since the machine's start.
    package var due: Int64
    package var begin: Int64
    package var end: Int64
    /// Which connection of the traffic, from 1.
    package var connection: Int
    /// Of the answer; nil if there was none.
    package var status: Int?
    /// Why there was none: `closed` before the first byte of the answer, `cut` after it, `refused` (no connection),
    /// `late` (nothing within the client's own patience).
    package var broken: String?
    /// What the device said in its answer: who it is, the mark it was given, how often it was asked, and the mark of
    /// the last POST it took (which, in the answer to a POST, is that POST's own).
    package var answeredBy: String?
    package var answeredMark: Int?
    package var served: Int?
    package var last: Int?
    /// The `type` of a problem document, as `/errors#offline`: an answer that is not the device's.
    package var problem: String?
    /// `X-Request-Id`.
    package var requestID: String?

    package init(n: Int, di: String, method: String, due: Int64, begin: Int64, end: Int64, connection: Int) {
        self.n = n
        self.di = di
        self.method = method
        self.due = due
        self.begin = begin
        self.end = end
        self.connection = connection
    }
}

/// Which devices HTTP called online when asked: a line of `traffic.jsonl` whose `event` is `presence`.
package struct PresenceRecord: Codable, Sendable, Hashable {
    package var event = "presence"
    /// When the question went out and when the answer was there, nanoseconds since the machine's start.
    package var begin: Int64
    package var end: Int64
    /// Which have become online, and which are no longer, since the line before; in the first line, all that are.
    package var online: [String]
    package var gone: [String]
    /// Why the list was not to be had; then nothing is known of who was online.
    package var failed: String?

    package init(begin: Int64, end: Int64, online: [String], gone: [String], failed: String? = nil) {
        self.begin = begin
        self.end = end
        self.online = online
        self.gone = gone
        self.failed = failed
    }
}

/// How the traffic was meant: the first line of `traffic.jsonl`, and its last with `event` `ended`.
package struct TrafficRecord: Codable, Sendable, Hashable {
    package enum Event: String, Codable, Sendable {
        case begun
        case ended
    }

    package var event: Event
    package var time: Int64
    /// Requests a second that were to begin.
    package var rate: Double
    package var connections: Int
    /// Requests that fell due, and those of them that were begun: at the end only.
    package var due: Int?
    package var begun: Int?

    package init(_ event: Event, time: Int64, rate: Double, connections: Int) {
        self.event = event
        self.time = time
        self.rate = rate
        self.connections = connections
    }
}
