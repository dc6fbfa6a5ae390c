import Synchronization

/// Shows how a run goes: on a terminal one line that is written anew each second, else a line every five seconds.
final class FleetScreen: Sendable {
    private let console: Console
    private let isTerminal: Bool
    /// In seconds, where lines stay.
    private let nextLine = Mutex(5)

    init(_ console: Console, isTerminal: Bool) {
        self.console = console
        self.isTerminal = isTerminal
    }

    func show(_ progress: FleetRun.Progress) {
        let counts = progress.counts
        let seconds = Int(progress.elapsed / .seconds(1))
        // Short enough for 80 columns: a longer line could not be written anew.
        let begun = counts.begun < counts.devices ? "\(grouped(counts.begun)) begun, " : ""
        let line =
            "\(seconds) s: \(begun)\(grouped(counts.connected)) connected, \(grouped(counts.signedIn)) signed in, "
            + "\(grouped(Int(progress.requestsPerSecond.rounded()))) requests/s, \(grouped(counts.failed)) failures"
        if self.isTerminal {
            self.console.prompt(line)
        } else if self.isDue(seconds) {
            self.console.print(line)
        }
    }

    private func isDue(_ seconds: Int) -> Bool {
        self.nextLine.withLock { next in
            guard seconds >= next else { return false }
            next = seconds / 5 * 5 + 5
            return true
        }
    }
}
