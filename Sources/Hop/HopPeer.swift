import CoAP
import NIOCore

/// One of our programs at the other end of a connection, as it has proven.
package struct HopPeer: Hashable, Sendable {
    /// Its own name: `{pod name}.{boot id}`.
    package let name: String
    /// What it is: `northbound`, `coap-interface`, `registry`.
    package let role: String

    package init(name: String, role: String) {
        self.name = name
        self.role = role
    }

    /// How long a name or role may be, in bytes.
    static let textBytes = 1...300

    var isWellFormed: Bool {
        Self.textBytes.contains(self.name.utf8.count) && Self.textBytes.contains(self.role.utf8.count)
    }
}

/// What an acceptor takes on one connection without having answered it.
package struct HopWindow: Hashable, Sendable {
    package var requests: Int
    package var bytes: Int

    package init(requests: Int = 1024, bytes: Int = 16 << 20) {
        self.requests = requests
        self.bytes = bytes
    }
}

/// How much of a window is taken.
struct WindowUse: Hashable {
    private(set) var requests = 0
    private(set) var bytes = 0

    /// False, and nothing is taken, if there is no room. A request that is larger than the window gets in alone.
    mutating func take(_ size: Int, of window: HopWindow) -> Bool {
        guard self.requests < window.requests, self.requests == 0 || self.bytes + size <= window.bytes else {
            return false
        }
        self.requests += 1
        self.bytes += size
        return true
    }

    mutating func give(back size: Int) {
        self.requests -= 1
        self.bytes -= size
    }
}

extension Request {
    /// What a request counts in a window, in bytes: what it holds, and a little for each option.
    var windowSize: Int {
        self.options.reduce(self.payload?.readableBytes ?? 0) { $0 + $1.value.readableBytes + 4 }
    }
}
