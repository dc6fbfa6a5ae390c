/// Shows how a run goes: on a terminal one line that is written anew each second, else a line every five seconds.
final class FleetScreen: Sendable {
    private let console: Console
    private let isTerminal: Bool

    init(_ console: Console, isTerminal: Bool) {
        self.console = console
        self.isTerminal = isTerminal
    }

    func show(_ progress: FleetRun.Progress) {
        let counts = progress.counts
        let seconds = Int(progress.elapsed / .seconds(1))
        let line =
            "\(seconds) s: \(grouped(counts.begun)) begun, \(grouped(counts.connected)) connected, "
            + "\(grouped(counts.signedIn)) signed in, \(grouped(Int(progress.requestsPerSecond.rounded()))) requests/s, "
            + "\(grouped(counts.failed)) failures"
        if self.isTerminal {
            self.console.prompt(line)
        } else if seconds % 5 == 0 {
            self.console.print(line)
        }
    }
}
