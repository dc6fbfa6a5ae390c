import FoundationEssentials
import NIOCore

extension Setting where Value == Int {
    /// A port to listen on. 0 takes any free one.
    package static func port(_ name: String, default fallback: Int, _ meaning: String) -> Self {
        Self(
            name,
            allowed: "a port number from 0 to 65535 (0 takes any free port)",
            default: fallback,
            shownAs: "\(fallback)",
            meaning,
            parse: { text in Numbers.whole(text).flatMap { 0...65535 ~= $0 ? $0 : nil } },
        )
    }

    /// How many of something.
    package static func count(
        _ name: String,
        in range: ClosedRange<Int>,
        default fallback: Int,
        _ meaning: String,
    ) -> Self {
        Self(
            name,
            allowed: "a whole number from \(range.lowerBound) to \(range.upperBound)",
            default: fallback,
            shownAs: "\(fallback)",
            meaning,
            parse: { text in Numbers.whole(text).flatMap { range ~= $0 ? $0 : nil } },
        )
    }

    /// A size in bytes; `KiB` and `MiB` may follow the number.
    package static func size(
        _ name: String,
        in range: ClosedRange<Int>,
        default fallback: Int,
        _ meaning: String,
    ) -> Self {
        Self(
            name,
            allowed: "a number of bytes from \(range.lowerBound) to \(range.upperBound); KiB or MiB may follow it",
            default: fallback,
            shownAs: "\(fallback)",
            meaning,
            parse: { text in Numbers.bytes(text).flatMap { range ~= $0 ? $0 : nil } },
        )
    }
}

extension Setting where Value == ListenerPort {
    /// A port to listen on, or none.
    package static func listener(_ name: String, default fallback: ListenerPort, _ meaning: String) -> Self {
        Self(
            name,
            allowed: "a port number from 0 to 65535 (0 takes any free port), or off",
            default: fallback,
            shownAs: fallback.number.map { "\($0)" } ?? "off",
            meaning,
            parse: { text in
                if text == "off" { return .off }
                return Numbers.whole(text).flatMap { 0...65535 ~= $0 ? .port($0) : nil }
            },
        )
    }
}

extension Setting where Value == [String] {
    /// Texts with commas between them, each of which `isGood`.
    package static func list(
        _ name: String, allowed: String, shownAs defaultText: String = "(none)", _ meaning: String,
        isGood: @escaping @Sendable ([String]) -> Bool
    ) -> Self {
        Self(
            name,
            allowed: allowed,
            default: [],
            shownAs: defaultText,
            meaning,
            parse: { text in
                guard text.utf8.count <= 4096 else { return nil }
                let parts = text.split(separator: ",", omittingEmptySubsequences: false).map { part in
                    String(part.drop { $0 == " " }.reversed().drop { $0 == " " }.reversed())
                }
                return isGood(parts) ? parts : nil
            },
        )
    }

    /// Where CoAP clients reach us, as they have to dial it: one endpoint for each scheme.
    package static func coapEndpoints(_ name: String, shownAs defaultText: String, _ meaning: String) -> Self {
        .list(
            name,
            allowed: "SCHEME://HOST:PORT, nothing behind the port, where SCHEME is coap+tcp, coaps+tcp, coap+ws or "
                + "coaps+ws; several with commas, each with another scheme",
            shownAs: defaultText,
            meaning,
            isGood: { texts in
                texts.allSatisfy(Numbers.isCoAPEndpoint)
                    && Set(texts.map { $0.prefix { $0 != ":" } }).count == texts.count
            })
    }
}

/// Where a listener listens, if at all.
package enum ListenerPort: Hashable, Sendable {
    case off
    /// 0 for any free one.
    case port(Int)

    /// Nil if it is off.
    package var number: Int? {
        switch self {
        case .off: nil
        case .port(let number): number
        }
    }
}

extension Setting where Value == Duration {
    /// A time in whole seconds; `s`, `m` or `h` may follow the number.
    package static func seconds(
        _ name: String,
        in range: ClosedRange<Int>,
        default fallback: Int,
        _ meaning: String,
    ) -> Self {
        Self(
            name,
            allowed: "a number of seconds from \(range.lowerBound) to \(range.upperBound); s, m or h may follow it",
            default: .seconds(fallback),
            shownAs: "\(fallback)",
            meaning,
            parse: { text in
                Numbers.seconds(text).flatMap { range ~= $0 ? Duration.seconds($0) : nil }
            },
        )
    }
}

extension Setting where Value == Duration? {
    /// A lifetime in seconds, or the word `permanent`, which is `nil`.
    package static func lifetime(
        _ name: String,
        in range: ClosedRange<Int>,
        default fallback: Int,
        _ meaning: String,
    ) -> Self {
        Self(
            name,
            allowed: "a number of seconds from \(range.lowerBound) to \(range.upperBound), or permanent",
            default: .seconds(fallback),
            shownAs: "\(fallback)",
            meaning,
            parse: { text in
                if text == "permanent" { return .some(nil) }
                guard let seconds = Numbers.seconds(text), range ~= seconds else { return nil }
                return .some(.seconds(seconds))
            },
        )
    }
}

extension Setting where Value == Bool {
    /// Yes or no.
    package static func toggle(_ name: String, default fallback: Bool, _ meaning: String) -> Self {
        Self(
            name,
            allowed: "true or false",
            default: fallback,
            shownAs: "\(fallback)",
            isSwitch: true,
            meaning,
            parse: { text in
                switch text.lowercased() {
                case "true", "yes", "1", "on": true
                case "false", "no", "0", "off": false
                default: nil
                }
            },
        )
    }
}

extension Setting where Value: CaseIterable & RawRepresentable, Value.RawValue == String {
    /// One of a few words.
    package static func choice(_ name: String, default fallback: Value, _ meaning: String) -> Self {
        Self(
            name,
            allowed: "one of " + Value.allCases.map(\.rawValue).joined(separator: ", "),
            default: fallback,
            shownAs: fallback.rawValue,
            meaning,
            parse: { text in Value(rawValue: text) },
        )
    }
}

extension Setting where Value == String {
    /// An address of this machine to listen on.
    package static func address(_ name: String, default fallback: String, _ meaning: String) -> Self {
        Self(
            name,
            allowed: "an IP address of this machine (0.0.0.0 or :: for all of them), or localhost",
            default: fallback,
            shownAs: fallback,
            meaning,
            parse: { text in
                if text == "localhost" { return text }
                return (try? SocketAddress(ipAddress: text, port: 0)) == nil ? nil : text
            },
        )
    }

    /// The path of a directory or file. Whether it can be used is found out by whoever uses it.
    package static func path(_ name: String, default fallback: String, _ meaning: String) -> Self {
        Self(
            name,
            allowed: "a path of at most 4096 bytes without control characters",
            default: fallback,
            shownAs: fallback.isEmpty ? "(none)" : fallback,
            meaning,
            parse: { text in Numbers.isPlainText(text, atMost: 4096) ? text : nil },
        )
    }

    /// A UUID in its text form, kept in lower case.
    package static func uuid(_ name: String, _ meaning: String) -> Self {
        Self(
            name,
            allowed: "a UUID, as in 0685b960-736f-46f7-bec0-9e6cbd61adc1",
            default: "",
            shownAs: "(none)",
            meaning,
            parse: { text in UUID(uuidString: text).map { $0.uuidString.lowercased() } },
        )
    }

    /// Another program's address. The name is looked up when it is dialled.
    package static func hostAndPort(_ name: String, default fallback: String, _ meaning: String) -> Self {
        Self(
            name,
            allowed: "HOST:PORT, an IPv6 address in brackets",
            default: fallback,
            shownAs: fallback.isEmpty ? "(none)" : fallback,
            meaning,
            parse: { text in
                guard let (host, port) = Numbers.hostAndPort(text), !host.isEmpty, port > 0 else { return nil }
                return text
            },
        )
    }

    /// A name or word of few characters, such as a user's or a database's.
    package static func word(_ name: String, default fallback: String, _ meaning: String) -> Self {
        Self(
            name,
            allowed: "a text of at most 255 bytes without control characters",
            default: fallback,
            shownAs: fallback.isEmpty ? "(none)" : fallback,
            meaning,
            parse: { text in Numbers.isPlainText(text, atMost: 255) ? text : nil },
        )
    }
}

extension Setting where Value == String {
    /// Where CoAP is served, as devices have to dial it; empty: nowhere.
    package static func coapEndpoint(_ name: String, _ meaning: String) -> Self {
        Self(
            name,
            allowed: "SCHEME://HOST:PORT, nothing behind the port, where SCHEME is coap+tcp, coaps+tcp, coap+ws or "
                + "coaps+ws",
            default: "",
            shownAs: "(none)",
            meaning,
            parse: { text in Numbers.isCoAPEndpoint(text) ? text : nil },
        )
    }
}

extension Setting where Value == SecretValue? {
    /// A key of exactly `count` bytes, written in base64. What stands in examples and templates is refused: a key that
    /// anybody can read there is none.
    package static func secretKey(_ name: String, count: Int, shownAs defaultText: String, _ meaning: String) -> Self {
        Self(
            name,
            allowed: "\(count) random bytes in base64, as `openssl rand -base64 \(count)` makes them; no placeholder",
            default: nil,
            shownAs: defaultText,
            isSecret: true,
            meaning,
            parse: { text in
                guard let bytes = Data(base64Encoded: text), bytes.count == count else { return nil }
                guard !Placeholder.isOne(text), Set(bytes).count > 1 else { return nil }
                return .some(SecretValue([UInt8](bytes)))
            },
        )
    }

    /// A password that another program was given too.
    package static func password(_ name: String, _ meaning: String) -> Self {
        Self(
            name,
            allowed: "a text of at most 1024 bytes, no placeholder; `openssl rand -base64 32` makes a good one",
            default: nil,
            shownAs: "(none)",
            isSecret: true,
            meaning,
            parse: { text in
                guard text.utf8.count <= 1024, !text.utf8.contains(0), !Placeholder.isOne(text) else { return nil }
                return .some(SecretValue([UInt8](text.utf8)))
            },
        )
    }
}

/// What stands for a secret where there is none yet.
enum Placeholder {
    private static let words = ["placeholder", "changeme", "change-me", "change_me", "replace-me", "replaceme"]

    static func isOne(_ text: String) -> Bool {
        let lower = text.lowercased()
        return Self.words.contains { lower.contains($0) } || (text.hasPrefix("<") && text.hasSuffix(">"))
    }
}

/// What our own manifests for trying out give as secrets. They are allowed, and say that they are none.
enum DevelopmentSecret {
    static let start = "DEVELOPMENT-ONLY-"

    /// A key says it in its bytes, of which base64 is only the spelling.
    static func isOne(_ text: String) -> Bool {
        text.hasPrefix(Self.start) || Data(base64Encoded: text)?.starts(with: Self.start.utf8) == true
    }
}

/// Text to number, without ever overflowing.
package enum Numbers {
    /// Digits only: no sign, no blank.
    static func whole(_ text: some StringProtocol) -> Int? {
        guard !text.isEmpty, text.utf8.count <= 18, text.utf8.allSatisfy({ (0x30...0x39).contains($0) }) else {
            return nil
        }
        return Int(text)
    }

    static func seconds(_ text: String) -> Int? {
        Self.scaled(text, units: [("h", 3600), ("m", 60), ("s", 1)])
    }

    static func bytes(_ text: String) -> Int? {
        Self.scaled(text, units: [("KiB", 1024), ("MiB", 1024 * 1024)])
    }

    static func isPlainText(_ text: String, atMost limit: Int) -> Bool {
        !text.isEmpty && text.utf8.count <= limit
            && text.unicodeScalars.allSatisfy { $0.value >= 0x20 && $0.value != 0x7f }
    }

    static func isCoAPEndpoint(_ text: String) -> Bool {
        for scheme in ["coap+tcp://", "coaps+tcp://", "coap+ws://", "coaps+ws://"] where text.hasPrefix(scheme) {
            guard let (host, port) = Self.hostAndPort(text.dropFirst(scheme.count)), !host.isEmpty else { return false }
            return port > 0
        }
        return false
    }

    /// `host:port` or `[v6]:port`, where the host may be empty. Only characters that stand in a host name or an
    /// address.
    package static func hostAndPort(_ text: some StringProtocol) -> (host: String, port: Int)? {
        guard let colon = text.lastIndex(of: ":") else { return nil }
        guard let port = Self.whole(text[text.index(after: colon)...]), port <= 65535 else { return nil }
        var host = text[..<colon]
        if host.hasPrefix("["), host.hasSuffix("]") {
            host = host.dropFirst().dropLast()
            guard host.contains(":") else { return nil }
        } else if host.contains(":") {
            return nil
        }
        let isHostLike = host.utf8.allSatisfy { byte in
            switch byte {
            case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"): true
            case UInt8(ascii: "0")...UInt8(ascii: "9"): true
            default: ".-_:%".utf8.contains(byte)
            }
        }
        return isHostLike && host.utf8.count <= 255 ? (String(host), port) : nil
    }

    private static func scaled(_ text: String, units: [(suffix: String, factor: Int)]) -> Int? {
        for unit in units where text.hasSuffix(unit.suffix) {
            guard let number = Self.whole(text.dropLast(unit.suffix.count)) else { return nil }
            let (product, overflow) = number.multipliedReportingOverflow(by: unit.factor)
            return overflow ? nil : product
        }
        return Self.whole(text)
    }
}
