import Glibc
package import Logging

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
        let sorted = fields.sorted { $0.key < $1.key }
        let time = LogTime.text(self.clock())
        let level = event.level.rawValue
        let message = "\(event.message)"
        var line: String
        switch self.format {
        case .text:
            line = "\(time) \(level) \(self.label) \(LogText.escaped(message))"
            for (key, value) in sorted { line += " \(LogText.key(key))=\(LogText.value("\(value)"))" }
        case .json:
            line = "{\"time\":\"\(time)\",\"level\":\"\(level)\",\"label\":\(LogText.json(self.label))"
            line += ",\"message\":\(LogText.json(message))"
            for (key, value) in sorted {
                let name = Self.ownFields.contains(key) ? "field.\(key)" : LogText.key(key)
                line += ",\"\(name)\":\(LogText.json("\(value)"))"
            }
            line += "}"
        }
        line += "\n"
        self.sink.write(line)
    }

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

    /// UTC with milliseconds: `2026-11-21T10:00:00.123Z`.
    static func text(_ time: timespec) -> String {
        var seconds = time.tv_sec
        var parts = tm()
        gmtime_r(&seconds, &parts)
        let month = Self.padded(Int(parts.tm_mon) + 1)
        let date = "\(Int(parts.tm_year) + 1900)-\(month)-\(Self.padded(Int(parts.tm_mday)))"
        let clock = [parts.tm_hour, parts.tm_min, parts.tm_sec].map { Self.padded(Int($0)) }.joined(separator: ":")
        return "\(date)T\(clock).\(Self.padded(time.tv_nsec / 1_000_000, to: 3))Z"
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
