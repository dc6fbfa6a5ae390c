import Glibc
package import MockDevice

/// Which devices the traffic is for, and what is shown for them.
package struct TrafficTargets: Sendable, Hashable {
    /// A user's devices: `prefix` with a number from 1 to `count` behind it.
    package struct Group: Sendable, Hashable {
        package let prefix: String
        package let count: Int
        package let token: String

        package init(prefix: String, count: Int, token: String) {
            self.prefix = prefix
            self.count = count
            self.token = token
        }
    }

    private static let maximumBytes = 1 << 20

    package let groups: [Group]
    package let count: Int

    package init(_ groups: [Group]) {
        self.groups = groups
        self.count = groups.reduce(0) { $0 + $1.count }
    }

    /// Reads a file of lines `PREFIX COUNT TOKEN`.
    package init(path: String) throws(FleetError) {
        guard let file = fopen(path, "r") else {
            throw FleetError("The token file \(path) cannot be read: \(systemMessage(errno)). See --token-file.")
        }
        defer { fclose(file) }
        var bytes = [UInt8](repeating: 0, count: Self.maximumBytes + 1)
        let count = fread(&bytes, 1, bytes.count, file)
        guard count <= Self.maximumBytes else {
            throw FleetError("The token file \(path) has more than 1 MiB. See --token-file.")
        }
        do throws(FleetError) {
            try self.init(parsing: String(decoding: bytes.prefix(count), as: UTF8.self))
        } catch {
            throw FleetError("The token file \(path) cannot be used: \(error)")
        }
    }

    package init(parsing text: String) throws(FleetError) {
        var groups: [Group] = []
        var prefixes: Set<String> = []
        for (index, line) in text.split(omittingEmptySubsequences: false, whereSeparator: \.isNewline).enumerated() {
            let words = line.split(whereSeparator: \.isWhitespace).map(String.init)
            guard !words.isEmpty else { continue }
            func refuse(_ why: String) -> FleetError {
                FleetError("line \(index + 1) \(why). Write PREFIX COUNT TOKEN, as in: fleet- 200 abc…")
            }
            guard words.count == 3 else { throw refuse("has \(words.count) words, not 3") }
            guard words[0].utf8.allSatisfy(Self.isUnreserved), words[0].utf8.count <= 100 else {
                throw refuse("has a prefix with other than letters, digits and -._~, or longer than 100 of these")
            }
            guard let count = Int(words[1]), (1...1_000_000).contains(count) else {
                throw refuse("has a count that is none from 1 to 1000000")
            }
            guard words[2].utf8.allSatisfy({ $0 > 0x20 && $0 < 0x7F }) else {
                throw refuse("has a token with a character that no token has")
            }
            guard prefixes.insert(words[0]).inserted else {
                throw refuse("has the prefix of a line before; a device belongs to one user")
            }
            groups.append(Group(prefix: words[0], count: count, token: words[2]))
        }
        guard !groups.isEmpty else { throw FleetError("it has no line. Write PREFIX COUNT TOKEN for each user.") }
        self.init(groups)
    }

    /// The device of an index from 0, and which group it belongs to.
    package func device(_ index: Int) -> (di: String, group: Int) {
        var left = index
        for (number, group) in self.groups.enumerated() {
            if left < group.count { return ("\(group.prefix)\(left + 1)", number) }
            left -= group.count
        }
        // Unspecified: beyond the last there is none.
        return ("", 0)
    }

    /// What may stand in a path as it is (RFC 3986 §2.3).
    private static func isUnreserved(_ byte: UInt8) -> Bool {
        switch byte {
        case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
            UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "-"), UInt8(ascii: "."), UInt8(ascii: "_"),
            UInt8(ascii: "~"):
            true
        default: false
        }
    }
}
