import MockDevice
import Testing

@Suite("Commands")
struct CommandTests {
    @Test(
        "each line of the menu is a command, by word and by number",
        arguments: [
            ("register", Command.register), ("session", .session), ("publish", .publish), ("refresh", .refresh),
            ("signout", .signOut), ("unpublish", .unpublish), ("resources", .resources), ("status", .status),
            ("help", .help), ("quit", .quit), ("  Register \r", .register), ("exit", .quit), ("?", .help),
            ("1", .register), ("2", .session), ("3", .publish), ("4", .refresh), ("5", .signOut), ("6", .unpublish),
            ("8", .resources), ("9", .status), ("10", .help), ("11", .quit),
        ])
    func simple(line: String, command: Command) throws {
        #expect(try Command(line: line) == command)
    }

    @Test(
        "set takes a resource and its values",
        arguments: [
            ("set /light value=true", "/light", [Command.Assignment(key: "value", value: "true")]),
            ("SET light value=true", "/light", [.init(key: "value", value: "true")]),
            ("7 /light value=true", "/light", [.init(key: "value", value: "true")]),
            (
                "set /light value=true brightness=40", "/light",
                [.init(key: "value", value: "true"), .init(key: "brightness", value: "40")]
            ),
            ("set /a n=\"two words\"", "/a", [.init(key: "n", value: "\"two words\"")]),
            ("set /a n=a=b", "/a", [.init(key: "n", value: "a=b")]),
            ("set /a n=", "/a", [.init(key: "n", value: "")]),
        ])
    func set(line: String, href: String, values: [Command.Assignment]) throws {
        #expect(try Command(line: line) == .set(href: href, values: values))
    }

    @Test("empty lines and comments are no commands", arguments: ["", "   ", "\t", "# register", "\r"])
    func nothing(line: String) throws {
        #expect(try Command(line: line) == nil)
    }

    @Test(
        "what is no command says what to type",
        arguments: [
            ("regsiter", CommandError.Code.unknown("regsiter")), ("0", .unknown("0")), ("12", .unknown("12")),
            ("-1", .unknown("-1")),
            ("register now", .superfluous(command: "register", word: "now")),
            ("set", .incompleteSet), ("set /light", .incompleteSet),
            ("set /light value", .noAssignment("value")), ("set /light =1", .noAssignment("=1")),
            ("set /a n=\"open", .openQuote),
            (String(repeating: "x", count: Command.maximumBytes + 1), .tooLong),
        ])
    func refusals(line: String, code: CommandError.Code) {
        do throws(CommandError) {
            let command = try Command(line: line)
            Issue.record("taken for \(String(describing: command))")
        } catch {
            #expect(error.code == code)
            #expect(!error.description.isEmpty)
        }
    }

    @Test("the menu offers every command there is, in the old order first")
    func menu() throws {
        let words = Command.menu.map { $0.words.split(separator: " ")[0] }
        #expect(Array(words.prefix(3)) == ["register", "session", "publish"])
        for entry in Command.menu where !entry.words.hasPrefix("set") {
            #expect(try Command(line: entry.words) != nil)
        }
    }
}
