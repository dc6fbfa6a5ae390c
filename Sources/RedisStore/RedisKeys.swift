import Cloud

/// The names of everything that is kept in Redis. docs/redis.md has them with type, lifetime, writer and readers.
package struct RedisKeys: Sendable, Hashable {
    /// Every kind of key and channel; what stands in braces or capitals varies.
    package enum Kind: String, CaseIterable, Sendable {
        case route = "route:{DI}"
        case waiting = "wait:{DI}"
        case pod = "pod:{POD}"
        case pods = "pods"
        case generation = "generation"
        case token = "token:SHA256"
        case events = "events:UID"
        case eventsSince = "events-since"
        case state = "state:{DI}"
        case answer = "answer:{UID}SHA256"
        case answers = "answers:{UID}"
        case edge = "edge:POD"
        case bus = "bus:TOPIC"
    }

    package let prefix: String

    /// - Parameter prefix: braces in it would decide the slot of every key, so they are written as in ids.
    package init(prefix: String) {
        self.prefix = Self.escaped(prefix)
    }

    func route(_ di: String) -> String { "\(self.prefix)route:{\(Self.escaped(di))}" }
    func waiting(_ di: String) -> String { "\(self.prefix)wait:{\(Self.escaped(di))}" }
    func pod(_ name: String) -> String { "\(self.prefix)pod:{\(Self.escaped(name))}" }
    var pods: String { "\(self.prefix)pods" }
    var generation: String { "\(self.prefix)generation" }
    func token(_ hash: [UInt8]) -> String { "\(self.prefix)token:\(hash.hexadecimal)" }
    func events(_ uid: String) -> String { "\(self.prefix)events:\(Self.escaped(uid))" }
    var eventsSince: String { "\(self.prefix)events-since" }
    func state(_ di: String) -> String { "\(self.prefix)state:{\(Self.escaped(di))}" }
    func answer(_ uid: String, _ name: [UInt8]) -> String {
        "\(self.prefix)answer:{\(Self.escaped(uid))}\(name.hexadecimal)"
    }
    func answers(_ uid: String) -> String { "\(self.prefix)answers:{\(Self.escaped(uid))}" }
    /// The channel of an edge is this and its name.
    var edges: String { "\(self.prefix)edge:" }
    func bus(_ topic: String) -> String { "\(self.prefix)bus:\(topic)" }

    /// Ids may have braces, and the part of a key between its first `{` and the next `}` decides its slot in a cluster:
    /// both keys of a device must have the same, and no two devices the same key. `%` is in no id.
    static func escaped(_ id: String) -> String {
        guard id.utf8.contains(where: { [UInt8(ascii: "{"), UInt8(ascii: "}"), UInt8(ascii: "%")].contains($0) }) else {
            return id
        }
        var text = ""
        for scalar in id.unicodeScalars {
            switch scalar {
            case "{": text += "%7B"
            case "}": text += "%7D"
            case "%": text += "%25"
            default: text.unicodeScalars.append(scalar)
            }
        }
        return text
    }
}
