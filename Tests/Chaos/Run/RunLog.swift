import Foundation
import Synchronization

/// Writes `run.jsonl`, each line at once: a run that is cut off leaves what there was until then.
package final class RunLog: Sendable {
    private let file: Mutex<FileHandle>
    /// People follow a run by this.
    private let tell: @Sendable (String) -> Void
    private let begun = MonotonicTime.now
    private let failed = Mutex(0)

    package init(path: String, tell: @escaping @Sendable (String) -> Void) throws {
        guard FileManager.default.createFile(atPath: path, contents: nil),
            let file = FileHandle(forWritingAtPath: path)
        else { throw RunError("\(path) cannot be written. Choose another --place.") }
        self.file = Mutex(file)
        self.tell = tell
    }

    package func note(_ record: RunRecord) {
        // Nothing in a record is without a form in JSON.
        guard var line = try? JSONEncoder().encode(record) else { return }
        line.append(0x0A)
        let isWritten = self.file.withLock { (try? $0.write(contentsOf: line)) != nil }
        if !isWritten { self.failed.withLock { $0 += 1 } }
    }

    /// How many lines could not be written.
    package var missing: Int { self.failed.withLock { $0 } }

    package func note(_ event: RunRecord.Event, _ fill: (inout RunRecord) -> Void = { _ in }) {
        var record = RunRecord(event, time: MonotonicTime.now)
        fill(&record)
        self.note(record)
    }

    /// A line for people, with the seconds since the beginning.
    package func say(_ text: String) {
        self.tell("\((MonotonicTime.now - self.begun) / 1_000_000_000) s: \(text)")
    }
}

/// Why a run cannot go on, and what to do.
package struct RunError: Error, Sendable, Hashable, CustomStringConvertible {
    package let description: String

    package init(_ description: String) {
        self.description = description
    }
}
