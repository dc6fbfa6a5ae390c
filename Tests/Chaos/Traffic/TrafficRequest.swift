/// A request of the traffic: which, to whom, and when it was to begin.
package struct TrafficRequest: Sendable, Hashable {
    package enum Method: String, Sendable {
        case get = "GET"
        case post = "POST"
    }

    /// Its mark, from 1.
    package let n: Int
    package let method: Method
    /// Which device, of all.
    package let device: Int
    /// Nanoseconds since the machine's start.
    package let due: Int64

    package init(n: Int, method: Method, device: Int, due: Int64) {
        self.n = n
        self.method = method
        self.device = device
        self.due = due
    }
}

/// How a request ended.
package enum TrafficEnd: Sendable, Hashable {
    case answered(TrafficAnswer)
    case broken(Cause)

    /// Why there is no answer, as in `RequestRecord.broken`.
    package enum Cause: String, Sendable {
        case closed
        case cut
        case refused
        case late
    }
}

/// What is kept of an answer.
package struct TrafficAnswer: Sendable, Hashable {
    package var status: Int
    package var answeredBy: String?
    package var answeredMark: Int?
    package var served: Int?
    package var last: Int?
    package var problem: String?
    package var requestID: String?

    package init(status: Int) {
        self.status = status
    }
}

/// A request from its beginning to its end.
package struct TrafficExchange: Sendable, Hashable {
    package let request: TrafficRequest
    /// Nanoseconds since the machine's start.
    package let begin: Int64
    package let end: Int64
    package let connection: Int
    package let outcome: TrafficEnd

    /// How it is written down.
    package func record(di: String) -> RequestRecord {
        var record = RequestRecord(
            n: self.request.n, di: di, method: self.request.method.rawValue, due: self.request.due, begin: self.begin,
            end: self.end, connection: self.connection)
        switch self.outcome {
        case .answered(let answer):
            record.status = answer.status
            record.answeredBy = answer.answeredBy
            record.answeredMark = answer.answeredMark
            record.served = answer.served
            record.last = answer.last
            record.problem = answer.problem
            record.requestID = answer.requestID
        case .broken(let cause):
            record.broken = cause.rawValue
        }
        return record
    }
}
