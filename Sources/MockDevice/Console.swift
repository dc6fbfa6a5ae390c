import Synchronization

/// Everything the program prints, in one order: lines and prompts from any task, written by the one that runs `run`.
package final class Console: Sendable {
    private let outputs: AsyncStream<Output>
    private let queue: AsyncStream<Output>.Continuation
    private let lost = Mutex(0)
    private let isTerminal: Bool

    /// How many lines may wait for a slow terminal; the rest is counted and dropped, so that serving never waits.
    private static let maximumWaiting = 4096

    /// - Parameter isTerminal: whether a person sits there, whose prompt is put back under each line that comes in.
    package init(isTerminal: Bool) {
        self.isTerminal = isTerminal
        (self.outputs, self.queue) = AsyncStream.makeStream(bufferingPolicy: .bufferingOldest(Self.maximumWaiting))
    }

    package func print(_ line: String) {
        self.put(.line(line))
    }

    package func prompt(_ text: String) {
        self.put(.prompt(text))
    }

    /// The prompt was answered.
    ///
    /// - Parameter echo: what to show of the answer where no terminal has shown it: never a token.
    package func lineWasRead(echo: String = "") {
        self.put(.answered(echo: echo))
    }

    /// Nothing will answer the prompt any more.
    package func inputEnded() {
        self.put(.ended)
    }

    /// Ends `run` once all is written.
    package func finish() {
        self.queue.finish()
    }

    /// Hands text to `write`, in order, until `finish`. Does not end with its task: the last words count.
    package func run(_ write: (String) -> Void) async {
        var screen = Screen(isTerminal: self.isTerminal)
        for await output in self.outputs {
            write(screen.text(for: output))
            let lost = self.lost.withLock { lost in
                defer { lost = 0 }
                return lost
            }
            if lost > 0 {
                write(screen.text(for: .line("(\(lost) lines are missing: they came faster than they could be shown)")))
            }
        }
    }

    private func put(_ output: Output) {
        if case .dropped = self.queue.yield(output) {
            self.lost.withLock { $0 += 1 }
        }
    }
}

/// Something to be shown.
enum Output: Sendable, Hashable {
    case line(String)
    case prompt(String)
    case answered(echo: String)
    case ended
}

/// What has to be written so that a prompt and the lines that come in meanwhile do not run into each other.
struct Screen: Sendable {
    private let isTerminal: Bool
    /// The prompt that stands at the cursor.
    private var prompt: String?

    init(isTerminal: Bool) {
        self.isTerminal = isTerminal
    }

    mutating func text(for output: Output) -> String {
        switch output {
        case .line(let line):
            guard let prompt = self.prompt else { return line + "\n" }
            if self.isTerminal {
                // Back to the margin, clear the line, and the prompt once more below.
                return "\r\u{1B}[K\(line)\n\(prompt)"
            }
            self.prompt = nil
            return "\n\(line)\n"
        case .prompt(let prompt):
            let stands = self.prompt != nil
            self.prompt = prompt
            // In the place of the one before.
            return stands && self.isTerminal ? "\r\u{1B}[K\(prompt)" : prompt
        case .answered(let echo):
            let stands = self.prompt != nil
            self.prompt = nil
            if self.isTerminal { return "" }
            // A terminal has echoed the line and its end; a pipe echoes nothing.
            return stands || !echo.isEmpty ? echo + "\n" : ""
        case .ended:
            let stands = self.prompt != nil
            self.prompt = nil
            return stands ? "\n" : ""
        }
    }
}
