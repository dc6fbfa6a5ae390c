import CBOR
import CoAP
import Glibc
import NIOCore
import OCF

/// Something that happened to a device, for whoever checks a run afterwards.
package struct FleetEvent: Sendable {
    enum Kind: String, Sendable {
        case connected
        case signedIn = "signed-in"
        /// An answer of the cloud that is none of the good ones.
        case refused
        case released
        case closed
        /// A request has reached the device.
        case delivered
        /// Its answer was given to the connection.
        case answered
        /// Its connection was gone before it could be.
        case unanswered
        case gaveUp = "gave-up"
    }

    var kind: Kind
    var di: String
    /// Which connection of the device, the first of which is 1.
    var connection: Int
    /// What it was about, and how it went.
    var detail: String?
    var request: String?
    var code: Code?
    var queryMark: String?
    var bodyMark: DataItem?
    let monotonicNanoseconds = FleetEvent.time(CLOCK_MONOTONIC)
    let wallNanoseconds = FleetEvent.time(CLOCK_REALTIME)

    init(_ kind: Kind, di: String, connection: Int, detail: String? = nil) {
        self.kind = kind
        self.di = di
        self.connection = connection
        self.detail = detail
    }

    private static func time(_ clock: clockid_t) -> Int64 {
        var time = timespec()
        clock_gettime(clock, &time)
        return Int64(time.tv_sec) * 1_000_000_000 + Int64(time.tv_nsec)
    }

    /// One line of JSON.
    var line: String {
        var pairs: [DataItem.Pair] = [
            .init("mono_ns", DataItem(integer: self.monotonicNanoseconds)),
            .init("wall_ns", DataItem(integer: self.wallNanoseconds)),
            .init("event", .text(self.kind.rawValue)), .init("di", .text(self.di)),
            .init("connection", DataItem(integer: Int64(self.connection))),
        ]
        if let request = self.request { pairs.append(.init("request", .text(request))) }
        if let mark = self.queryMark { pairs.append(.init("query_n", .text(mark))) }
        if let mark = self.bodyMark { pairs.append(.init("body_n", mark)) }
        if let code = self.code { pairs.append(.init("code", .text("\(code)"))) }
        if let detail = self.detail { pairs.append(.init("detail", .text(detail))) }
        return String(buffer: JSONCoding.encode(.map(pairs)))
    }
}

/// What happened to a fleet, in a file.
package typealias FleetHistory = EventFile<FleetEvent>

extension EventFile where Event == FleetEvent {
    /// Replaces the file.
    package convenience init(path: String, maximumWaiting: Int = 100_000) throws(FleetError) {
        try self.init(path: path, maximumWaiting: maximumWaiting) { event, bytes in
            bytes.append(contentsOf: event.line.utf8)
        }
    }
}
