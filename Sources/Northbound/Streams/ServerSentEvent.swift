import NIOCore

/// One event of a stream (WHATWG HTML, Server-sent events).
struct ServerSentEvent {
    /// A line that means nothing: it keeps proxies from giving up, and finds out whether the client is still there.
    static let heartbeat = ByteBuffer(string: ":\n\n")
    /// How long a client waits before it connects again, in ms: not all at once when a northbound stops.
    static let retries = 1000...4000

    var name: String
    /// What the client says in Last-Event-ID when it comes again; nil: the one before stays.
    var id: String?
    var data: ByteBuffer

    static func retry() -> ByteBuffer {
        ByteBuffer(string: "retry: \(Int.random(in: Self.retries))\n\n")
    }

    /// Data of several lines is written as several, which the client joins again.
    func write(to buffer: inout ByteBuffer) {
        if let id { buffer.writeString("id: \(id)\n") }
        buffer.writeString("event: \(self.name)\n")
        var rest = self.data.readableBytesView[...]
        repeat {
            let line = rest.prefix { $0 != UInt8(ascii: "\n") && $0 != UInt8(ascii: "\r") }
            buffer.writeString("data: ")
            buffer.writeBytes(line)
            buffer.writeString("\n")
            rest = rest[line.endIndex...]
            if rest.starts(with: [13, 10]) { rest = rest.dropFirst() }
            guard !rest.isEmpty else { break }
            rest = rest.dropFirst()
        } while true
        buffer.writeString("\n")
    }

    var bytes: ByteBuffer {
        var buffer = ByteBuffer()
        self.write(to: &buffer)
        return buffer
    }
}
