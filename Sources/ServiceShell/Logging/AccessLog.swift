package import Logging
import Synchronization

/// What became of a request, as the access log counts it.
package enum AccessOutcome: String, CaseIterable, Sendable {
    /// Answered as asked for.
    case ok
    /// Answered with a refusal: 4xx or 4.xx.
    case refused
    /// Answered with a failure: 5xx or 5.xx.
    case failed
    /// The device never got it.
    case undelivered
    /// The device may have got it; nobody knows.
    case unknown
    /// Who asked was gone before the answer.
    case abandoned

    /// The outcome of an answer of the device's or ours by the class of its code: 2 for 2.05 and 200, 4 for 4.04 and
    /// 404.
    package init(codeClass: Int) {
        switch codeClass {
        case ..<4: self = .ok
        case 4: self = .refused
        default: self = .failed
        }
    }
}

/// One handled request.
package struct AccessRecord: Sendable {
    /// How the request came, which decides the names of its method, path and status in the line.
    package enum Interface: Sendable {
        case http
        case coap
    }

    package var interface: Interface
    package var requestID: String
    package var method: String
    /// The pattern of the route (`/{di}/{href}`), or a resource with ids taken out: never what the peer wrote.
    package var path: String
    /// `200` or `2.05`; `nil` when nothing was answered.
    package var status: String?
    package var device: String?
    /// A kind and a short hash.
    package var principal: String?
    package var outcome: AccessOutcome
    package var duration: Duration
    /// The stable code of the error, if the answer was one.
    package var errorCode: String?
    package var peer: String?

    package init(
        _ interface: Interface,
        requestID: String,
        method: String,
        path: String,
        status: String?,
        device: String? = nil,
        principal: String? = nil,
        outcome: AccessOutcome,
        duration: Duration,
        errorCode: String? = nil,
        peer: String? = nil,
    ) {
        self.interface = interface
        self.requestID = requestID
        self.method = method
        self.path = path
        self.status = status
        self.device = device
        self.principal = principal
        self.outcome = outcome
        self.duration = duration
        self.errorCode = errorCode
        self.peer = peer
    }
}

/// Writes one line per handled request and counts them. Each program has its own, with its own logger.
package final class AccessLog: Sendable {
    /// Which requests get a line.
    package enum Mode: String, CaseIterable, Sendable {
        case all
        /// Those whose outcome is not `ok`.
        case errors
        case off
    }

    private let mode: Mode
    private let logger: Logger
    private let counted = Atomic<Int>(0)

    /// - Parameter logger: Labelled for the program, `access.northbound` say. Lines have the level info.
    package init(mode: Mode, logger: Logger) {
        self.mode = mode
        self.logger = logger
    }

    /// How many requests were recorded, whatever the mode.
    package var requests: Int { self.counted.load(ordering: .relaxed) }

    /// To be called once for each request, when its answer is on its way or it was given up.
    package func record(_ record: AccessRecord) {
        self.record(record.outcome, record)
    }

    /// The same for requests that come so often that what nobody reads should not be put together.
    package func record(_ outcome: AccessOutcome, _ record: @autoclosure () -> AccessRecord) {
        // Wraps after 2⁶³ requests, which no process lives to see.
        self.counted.wrappingAdd(1, ordering: .relaxed)
        switch self.mode {
        case .off: return
        case .errors: if outcome == .ok { return }
        case .all: break
        }
        self.logger.write("request", Self.fields(of: record()))
    }

    private static func fields(of record: AccessRecord) -> KeyValuePairs<LogKey, String?> {
        let isHTTP = record.interface == .http
        // In the order of their keys, as they stand in the line.
        return [
            .coapCode: isHTTP ? nil : record.status,
            .coapMethod: isHTTP ? nil : record.method,
            .coapPath: isHTTP ? nil : record.path,
            .deviceID: record.device,
            .durationMilliseconds: Self.milliseconds(record.duration),
            .errorCode: record.errorCode,
            .httpMethod: isHTTP ? record.method : nil,
            .httpPath: isHTTP ? record.path : nil,
            .httpStatus: isHTTP ? record.status : nil,
            .outcome: record.outcome.rawValue,
            .peerAddress: record.peer,
            .principal: record.principal,
            .requestID: record.requestID,
        ]
    }

    /// Milliseconds with one decimal: fine enough to tell a cached answer from a stored one.
    static func milliseconds(_ duration: Duration) -> String {
        let (seconds, attoseconds) = duration.components
        let tenths = seconds * 10_000 + attoseconds / 100_000_000_000_000
        return "\(tenths / 10).\(tenths % 10)"
    }
}
