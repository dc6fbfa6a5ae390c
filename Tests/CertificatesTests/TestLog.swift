import Logging
import Synchronization

/// What was logged.
final class TestLog: Sendable {
    struct Line: Sendable, Hashable {
        let level: Logger.Level
        let text: String
    }

    private let kept = Mutex<[Line]>([])

    var lines: [Line] { self.kept.withLock { $0 } }

    func warnings(_ text: String) -> Int {
        self.lines.count { $0.level == .warning && $0.text.contains(text) }
    }

    var logger: Logger {
        var logger = Logger(label: "test") { _ in Handler(log: self) }
        logger.logLevel = .trace
        return logger
    }

    private struct Handler: LogHandler {
        let log: TestLog
        var metadata: Logger.Metadata = [:]
        var logLevel = Logger.Level.trace

        subscript(metadataKey key: String) -> Logger.MetadataValue? {
            get { self.metadata[key] }
            set { self.metadata[key] = newValue }
        }

        func log(event: LogEvent) {
            let metadata = (event.metadata ?? [:]).map { "\($0)=\($1)" }.sorted().joined(separator: " ")
            self.log.kept.withLock { $0.append(Line(level: event.level, text: "\(event.message) \(metadata)")) }
        }
    }
}
