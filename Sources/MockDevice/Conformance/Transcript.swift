import CBOR
import CoAP
import NIOCore
import Synchronization

/// What a case sent and received, for those who have to find out why it failed. Only the latest is kept.
final class Transcript: Sendable {
    private static let maximumLines = 24
    /// How many bytes of one message are shown.
    private static let maximumBytes = 160

    private let lines = Mutex<(kept: [String], dropped: Int)>(([], 0))

    enum Direction: String {
        case sent = "sent"
        case received = "received"
    }

    func note(_ peer: String, _ direction: Direction, _ bytes: some Collection<UInt8>, _ summary: String) {
        let shown = hexadecimal(bytes.prefix(Self.maximumBytes))
        let rest = bytes.count > Self.maximumBytes ? "… (\(bytes.count) bytes)" : ""
        self.add("\(peer) \(direction.rawValue) \(shown)\(rest)")
        self.add("    = \(summary)")
    }

    func note(_ peer: String, _ event: String) {
        self.add("\(peer) \(event)")
    }

    private func add(_ line: String) {
        self.lines.withLock { lines in
            lines.kept.append(line)
            if lines.kept.count > Self.maximumLines {
                lines.kept.removeFirst()
                lines.dropped += 1
            }
        }
    }

    var text: [String] {
        self.lines.withLock { lines in
            lines.dropped > 0 ? ["(\(lines.dropped) lines before)"] + lines.kept : lines.kept
        }
    }
}

/// A message in a few words: code, token, options, payload.
func summary(of message: Message) -> String {
    var parts = ["\(message.code)"]
    if message.token.count > 0 { parts.append("token \(hexadecimal(message.token.bytes))") }
    for option in message.options {
        let name = message.code.kind == .signalling ? "option \(option.number.rawValue)" : "\(option.number)"
        let value =
            switch message.code.kind == .signalling ? .opaque : OptionDefinition.of(option.number)?.format ?? .opaque {
            case .string: option.string.map { "\"\(sanitized($0, limit: 100))\"" } ?? hexadecimal(option.bytes)
            case .uint: option.uint.map { "\($0)" } ?? hexadecimal(option.bytes)
            case .opaque, .empty: hexadecimal(option.bytes.prefix(32))
            }
        parts.append(value.isEmpty ? name : "\(name) \(value)")
    }
    if let payload = shown(message.payload, format: message.options.contentFormat) {
        parts.append("payload \(payload.count > 400 ? String(payload.prefix(400)) + "…" : payload)")
    }
    return parts.joined(separator: ", ")
}
