import Synchronization
import Testing

@testable import MockDevice

@Suite("What stands on the screen")
struct ConsoleTests {
    @Test("on a terminal the prompt comes back under a line that came in")
    func terminal() {
        var screen = Screen(isTerminal: true)
        #expect(screen.text(for: .line("a")) == "a\n")
        #expect(screen.text(for: .prompt("> ")) == "> ")
        #expect(screen.text(for: .line("b")) == "\r\u{1B}[Kb\n> ")
        #expect(screen.text(for: .answered(echo: "help")) == "")
        #expect(screen.text(for: .line("c")) == "c\n")
        #expect(screen.text(for: .ended) == "")
        #expect(screen.text(for: .prompt("> ")) == "> ")
        #expect(screen.text(for: .ended) == "\n")
    }

    @Test("in a script a line that came in does not run into the prompt, and commands are shown")
    func script() {
        var screen = Screen(isTerminal: false)
        #expect(screen.text(for: .prompt("> ")) == "> ")
        #expect(screen.text(for: .line("b")) == "\nb\n")
        #expect(screen.text(for: .line("c")) == "c\n")
        #expect(screen.text(for: .prompt("> ")) == "> ")
        #expect(screen.text(for: .answered(echo: "help")) == "help\n")
        #expect(screen.text(for: .prompt("Token: ")) == "Token: ")
        #expect(screen.text(for: .answered(echo: "")) == "\n")
    }

    @Test("lines come out in order, and those that were too many are counted")
    func flood() async {
        let console = Console(isTerminal: false)
        for number in 0..<5000 {
            console.print("\(number)")
        }
        console.finish()
        let written = Mutex<[String]>([])
        await console.run { text in written.withLock { $0.append(text) } }
        let lines = written.withLock { $0 }
        let gap = "(904 lines are missing: they came faster than they could be shown)\n"
        #expect(lines.prefix(3) == ["0\n", gap, "1\n"])
        #expect(lines.count == 4097)
    }

    @Test("lines are cut at either kind of line end, the last one needs none, and none grows without bound")
    func lines() {
        var buffer = LineBuffer()
        for byte in "a\nb\r\n\nc".utf8 {
            buffer.append([byte])
        }
        #expect(buffer.next() == "a")
        #expect(buffer.next() == "b")
        #expect(buffer.next() == "")
        #expect(buffer.next() == nil)
        buffer.finish()
        #expect(buffer.next() == "c")
        buffer.append(Array(repeating: UInt8(ascii: "x"), count: 1_000_000))
        buffer.append([UInt8(ascii: "\n"), 0xFF, UInt8(ascii: "\n")])
        #expect(buffer.next()?.utf8.count == LineBuffer.maximumBytes)
        #expect(buffer.next() == "\u{FFFD}")
    }

    @Test("BI-21: nothing a peer sent reaches a terminal as a control character")
    func sanitizing() {
        #expect(sanitized("a\u{1B}[2Jb\r\n\u{7F}\u{9B}") == "a\\u{1b}[2Jb\\u{d}\\u{a}\\u{7f}\\u{9b}")
        #expect(sanitized("\u{202E}x\u{200B}\u{2028}") == "\\u{202e}x\\u{200b}\\u{2028}")
        #expect(sanitized("Grüße 日本 🙂") == "Grüße 日本 🙂")
        #expect(sanitized("abcdef", limit: 3) == "abc…")
    }

    @Test(
        "times are spoken as people do",
        arguments: [
            (Duration.milliseconds(20), "20 ms"), (.milliseconds(1500), "1.5 s"), (.seconds(40), "40 s"),
            (.seconds(6000), "100 min"),
            (.seconds(7500), "2 h 5 min"), (.seconds(864_000), "10 days"),
        ])
    func durations(duration: Duration, words: String) {
        #expect(duration.spoken == words)
    }
}
