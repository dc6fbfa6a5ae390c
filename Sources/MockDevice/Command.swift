/// One line of the menu, read. A script is nothing but such lines.
package enum Command: Hashable, Sendable {
    case register
    case session
    case publish
    case refresh
    case signOut
    case unpublish
    case set(href: String, values: [Assignment])
    case resources
    case status
    case help
    case quit

    /// `KEY=VALUE`, the value still as it was written.
    package struct Assignment: Hashable, Sendable {
        package let key: String
        package let value: String

        package init(key: String, value: String) {
            self.key = key
            self.value = value
        }
    }

    /// The longest line that is read, in bytes.
    package static let maximumBytes = 65_536

    /// What the menu offers, in its order; a line may also give the number.
    package static let menu: [(words: String, help: String)] = [
        ("register", "sign up with the one-time token, or with the access token if there is none"),
        ("session", "sign in with what register or refresh returned, else with the access token"),
        ("publish", "publish this device's resources"),
        ("refresh", "trade the refresh token for a new access token"),
        ("signout", "end the session; the connection stays"),
        ("unpublish", "withdraw everything this device published"),
        ("set RESOURCE KEY=VALUE", "change a resource here, as a hand on its switch would"),
        ("resources", "show the resources and what they hold"),
        ("status", "show address, connection, session and tokens (as short hashes)"),
        ("help", "show this menu"),
        ("quit", "end"),
    ]

    /// Reads one line. Nil for an empty line and for a comment, which begins with `#`.
    package init?(line: String) throws(CommandError) {
        guard line.utf8.count <= Self.maximumBytes else { throw CommandError(.tooLong) }
        let words = line.split(whereSeparator: { $0.isWhitespace }).map(String.init)
        guard let first = words.first, !first.hasPrefix("#") else { return nil }
        let name = Self.name(first)
        if name == "set" {
            self = try Self.assignments(line, words)
            return
        }
        guard let command = Self.simple[name] else { throw CommandError(.unknown(first)) }
        guard words.count == 1 else { throw CommandError(.superfluous(command: name, word: words[1])) }
        self = command
    }

    private static let simple: [String: Command] = [
        "register": .register, "session": .session, "publish": .publish, "refresh": .refresh,
        "signout": .signOut, "unpublish": .unpublish, "resources": .resources, "status": .status,
        "help": .help, "?": .help, "quit": .quit, "exit": .quit,
    ]

    /// The command's word in lower case; a number stands for a line of the menu.
    private static func name(_ word: String) -> String {
        guard let number = Int(word), Self.menu.indices.contains(number - 1) else { return word.lowercased() }
        return Self.menu[number - 1].words.split(separator: " ").first.map(String.init) ?? word
    }

    /// `set RESOURCE KEY=VALUE…`. A value in double quotes may hold blanks.
    private static func assignments(_ line: String, _ words: [String]) throws(CommandError) -> Command {
        guard words.count >= 3 else { throw CommandError(.incompleteSet) }
        let href = words[1].hasPrefix("/") ? words[1] : "/" + words[1]
        var values: [Assignment] = []
        for word in try Self.quotedWords(line).dropFirst(2) {
            guard let equals = word.firstIndex(of: "="), equals != word.startIndex else {
                throw CommandError(.noAssignment(word))
            }
            values.append(Assignment(key: String(word[..<equals]), value: String(word[word.index(after: equals)...])))
        }
        return .set(href: href, values: values)
    }

    /// The words of a line, blanks inside double quotes kept; the quotes stay, since `"1"` is not `1`.
    private static func quotedWords(_ line: String) throws(CommandError) -> [String] {
        var words: [String] = []
        var word = ""
        var isQuoted = false
        for character in line {
            if character == "\"" {
                isQuoted.toggle()
            }
            if character.isWhitespace && !isQuoted {
                if !word.isEmpty { words.append(word) }
                word = ""
            } else {
                word.append(character)
            }
        }
        guard !isQuoted else { throw CommandError(.openQuote) }
        if !word.isEmpty { words.append(word) }
        return words
    }
}

/// A line that is no command, with what to type instead.
package struct CommandError: Error, Hashable, Sendable {
    package enum Code: Hashable, Sendable {
        case unknown(String)
        case superfluous(command: String, word: String)
        case incompleteSet
        case noAssignment(String)
        case openQuote
        case tooLong
    }

    package let code: Code

    init(_ code: Code) {
        self.code = code
    }
}

extension CommandError: CustomStringConvertible {
    package var description: String {
        switch self.code {
        case .unknown(let word):
            "There is no command \"\(sanitized(word, limit: 40))\". Type help for the commands."
        case .superfluous(let command, let word):
            "\(command) takes nothing behind it, but \"\(sanitized(word, limit: 40))\" was given. Type \(command) alone."
        case .incompleteSet:
            "set needs a resource and at least one value, as in: set /light value=true brightness=40"
        case .noAssignment(let word):
            "\"\(sanitized(word, limit: 40))\" is not KEY=VALUE. Write it as in: set /light value=true"
        case .openQuote:
            "A double quote is not closed. Write it as in: set /light value=true"
        case .tooLong:
            "The line is longer than \(Command.maximumBytes) bytes. Type help for the commands."
        }
    }
}
