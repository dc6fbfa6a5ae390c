import Cloud
import Glibc
import Synchronization

/// The Date header field (RFC 9110 §6.6.1), written once a second.
final class HTTPDates: Sendable {
    private let clock: any WallClock
    private let last = Mutex<(second: Int64, text: String)>((.min, ""))

    init(clock: any WallClock) {
        self.clock = clock
    }

    func now() -> String {
        let second = self.clock.now().milliseconds / 1000
        return self.last.withLock { last in
            if last.second != second { last = (second, Timestamp(milliseconds: second * 1000).httpDate) }
            return last.text
        }
    }
}

extension Timestamp {
    /// `Sun, 06 Nov 1994 08:49:37 GMT` (RFC 9110 §5.6.7).
    var httpDate: String {
        let parts = self.parts
        let days = ["Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"]
        let months = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"]
        // The fields of `tm` are within the bounds of these by definition.
        return "\(days[Int(parts.tm_wday)]), \(Self.two(parts.tm_mday)) \(months[Int(parts.tm_mon)]) "
            + "\(Int(parts.tm_year) + 1900) \(Self.time(parts)) GMT"
    }

    /// `1994-11-06T08:49:37Z` (RFC 3339 §5.6).
    var internetDate: String {
        let parts = self.parts
        return "\(Int(parts.tm_year) + 1900)-\(Self.two(parts.tm_mon + 1))-\(Self.two(parts.tm_mday))"
            + "T\(Self.time(parts))Z"
    }

    private var parts: tm {
        var seconds = time_t(self.milliseconds / 1000)
        var parts = tm()
        gmtime_r(&seconds, &parts)
        return parts
    }

    private static func time(_ parts: tm) -> String {
        "\(Self.two(parts.tm_hour)):\(Self.two(parts.tm_min)):\(Self.two(parts.tm_sec))"
    }

    private static func two(_ number: Int32) -> String { number < 10 ? "0\(number)" : "\(number)" }
}
