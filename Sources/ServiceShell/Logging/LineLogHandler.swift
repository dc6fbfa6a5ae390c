import Glibc
package import Logging
import Synchronization

/// How a log line is laid out.
package enum LogFormat: String, CaseIterable, Sendable {
    /// `2026-11-21T10:00:00.123Z info label message key=value key="quoted value"`
    case text
    /// One JSON object a line with `time`, `level`, `label`, `message` and the keys beside them.
    case json
}

/// Writes one line per event.
///
/// It is our own because the stock handler neither quotes values, so that a peer could forge fields or whole lines with
/// a newline in a name, nor bounds them; and because one line must be one `write`. It does not filter, buffer or
/// rotate.
package struct LineLogHandler: LogHandler {
    package var logLevel: Logger.Level
    package var metadata: Logger.Metadata = [:]
    package var metadataProvider: Logger.MetadataProvider?
    fileprivate(set) var label: String
    private let format: LogFormat
    private let sink: any LogSink
    private let clock: @Sendable () -> timespec

    package init(label: String, level: Logger.Level, format: LogFormat, sink: any LogSink) {
        self.init(label: label, level: level, format: format, sink: sink, clock: LogTime.now)
    }

    init(
        label: String,
        level: Logger.Level,
        format: LogFormat,
        sink: any LogSink,
        clock: @escaping @Sendable () -> timespec,
    ) {
        self.label = LogText.key(label)
        self.logLevel = level
        self.format = format
        self.sink = sink
        self.clock = clock
    }

    package subscript(metadataKey key: String) -> Logger.MetadataValue? {
        get { self.metadata[key] }
        set { self.metadata[key] = newValue }
    }

    package func log(event: LogEvent) {
        var fields = self.metadata
        if let provided = self.metadataProvider?.get() { fields.merge(provided) { $1 } }
        if let given = event.metadata { fields.merge(given) { $1 } }
        if let error = event.error { fields[key: .error] = "\(error)" }
        var line = self.begun(event.level, "\(event.message)")
        for (key, value) in fields.sorted(by: { $0.key < $1.key }) { self.append(key, "\(value)", to: &line) }
        self.end(&line)
    }

    /// A line of such as come so often that a dictionary for each would be felt: they have no metadata but what they
    /// bring along, which is sorted.
    fileprivate func write(_ level: Logger.Level, _ message: String, _ sorted: KeyValuePairs<LogKey, String?>) {
        var line = self.begun(level, message)
        for (key, value) in sorted {
            if let value { self.append(key.rawValue, value, to: &line) }
        }
        self.end(&line)
    }

    /// Whether a line has nothing but what it brings along.
    fileprivate var isBare: Bool { self.metadata.isEmpty && self.metadataProvider == nil }

    private func begun(_ level: Logger.Level, _ message: String) -> String {
        var line = ""
        line.reserveCapacity(Self.usualBytes)
        switch self.format {
        case .text:
            LogTime.append(self.clock(), to: &line)
            line += " "
            line += level.rawValue
            line += " "
            line += self.label
            line += " "
            line += LogText.escaped(message)
        case .json:
            line += "{\"time\":\""
            LogTime.append(self.clock(), to: &line)
            line += "\",\"level\":\"\(level.rawValue)\",\"label\":"
            line += LogText.json(self.label)
            line += ",\"message\":"
            line += LogText.json(message)
        }
        return line
    }

    private func append(_ key: String, _ value: String, to line: inout String) {
        switch self.format {
        case .text:
            line += " "
            line += LogText.key(key)
            line += "="
            LogText.append(value: value, to: &line)
        case .json:
            line += ",\""
            if Self.ownFields.contains(key) { line += "field." }
            line += LogText.key(key)
            line += "\":"
            line += LogText.json(value)
        }
    }

    private func end(_ line: inout String) {
        line += self.format == .json ? "}\n" : "\n"
        self.sink.write(line)
    }

    /// As long as access lines are.
    private static let usualBytes = 384

    private static let ownFields: Set<String> = ["time", "level", "label", "message"]
}

/// Wall clock time as log lines show it.
enum LogTime {
    @Sendable
    static func now() -> timespec {
        var time = timespec()
        clock_gettime(CLOCK_REALTIME, &time)
        return time
    }

    /// The second that was written last, which is the next line's too, mostly.
    private static let last = Mutex<(second: time_t, text: String)>((.min, ""))

    /// UTC with milliseconds: `2026-11-21T10:00:00.123Z`.
    static func append(_ time: timespec, to line: inout String) {
        line += self.last.withLock { last in
            if last.second != time.tv_sec { last = (time.tv_sec, Self.text(time.tv_sec)) }
            return last.text
        }
        line += "."
        line += Self.padded(time.tv_nsec / 1_000_000, to: 3)
        line += "Z"
    }

    private static func text(_ second: time_t) -> String {
        var seconds = second
        var parts = tm()
        gmtime_r(&seconds, &parts)
        let month = Self.padded(Int(parts.tm_mon) + 1)
        let date = "\(Int(parts.tm_year) + 1900)-\(month)-\(Self.padded(Int(parts.tm_mday)))"
        let clock = [parts.tm_hour, parts.tm_min, parts.tm_sec].map { Self.padded(Int($0)) }.joined(separator: ":")
        return "\(date)T\(clock)"
    }

    private static func padded(_ number: Int, to width: Int = 2) -> String {
        let digits = "\(number)"
        return String(repeating: "0", count: max(0, width - digits.count)) + digits
    }
}

/// Sets up logging and metrics for the process.
package enum Observability {
    /// Call once, before the first logger is made.
    package static func bootstrap(
        level: Logger.Level, format: LogFormat, sink: any LogSink = StandardOutputSink.standard
    ) {
        LoggingSystem.bootstrap { label in
            LineLogHandler(label: label, level: level, format: format, sink: sink)
        }
    }

    /// A logger that writes to `sink`, whatever the process logs to.
    package static func logger(
        label: String,
        level: Logger.Level = .info,
        format: LogFormat = .text,
        sink: any LogSink,
    ) -> Logger {
        Logger(label: label) { label in LineLogHandler(label: label, level: level, format: format, sink: sink) }
    }
}

extension Logger {
    /// Writes a line of the level info under keys that are sorted; what is `nil` is left out.
    func write(_ message: String, _ sorted: KeyValuePairs<LogKey, String?>) {
        guard let handler = self.handler as? LineLogHandler, handler.isBare else {
            return self.info("\(message)", metadata: Metadata(sorted))
        }
        if self.logLevel <= .info { handler.write(.info, message, sorted) }
    }

    /// A logger for a part of the program: the same sink, level and metadata under another label.
    package func labelled(_ label: String) -> Logger {
        guard var handler = self.handler as? LineLogHandler else {
            var other = Logger(label: label)
            other.logLevel = self.logLevel
            return other
        }
        handler.label = LogText.key(label)
        return Logger(label: label) { _ in handler }
    }
}
