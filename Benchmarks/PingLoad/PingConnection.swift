import Glibc

/// One connection that always has the same number of Pings unanswered (RFC 8323 §5.4). Knows of frames only how long
/// they are and what code they have.
struct PingConnection {
    enum Failure: Error {
        case closed
        /// The peer sent no CSM within 10 s (RFC 8323 §5.3).
        case silent
        /// The peer sent Abort (RFC 8323 §5.6).
        case aborted
        case system(call: String, error: CInt)
    }

    /// 7.01 without options (RFC 8323 §5.3), 7.02, 7.03 and 7.05.
    private static let csm: [UInt8] = [0x00, 0xE1]
    private static let ping: [UInt8] = [0x00, 0xE2]
    private static let pongCode: UInt8 = 0xE3
    private static let abortCode: UInt8 = 0xE5

    let socket: CInt
    /// Pings that are due but were not taken by the socket yet.
    private var owed: Int
    /// The beginning of a frame whose end has not come.
    private var rest: [UInt8] = []

    /// Connects, sends a CSM, and waits for the peer's: who connects faster than a server accepts overruns its backlog,
    /// and then each connection takes seconds.
    init(port: UInt16, window: Int) throws {
        let socket = Glibc.socket(AF_INET, CInt(SOCK_STREAM.rawValue), 0)
        guard socket >= 0 else { throw Failure.system(call: "socket", error: errno) }
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_port = port.bigEndian
        address.sin_addr.s_addr = UInt32(0x7F00_0001).bigEndian
        let connected = withUnsafePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                connect(socket, $0, socklen_t(MemoryLayout<sockaddr_in>.size))
            }
        }
        guard connected == 0 else { throw Failure.system(call: "connect", error: errno) }
        var on: CInt = 1
        setsockopt(socket, CInt(IPPROTO_TCP), TCP_NODELAY, &on, socklen_t(MemoryLayout<CInt>.size))
        guard write(socket, Self.csm, Self.csm.count) == Self.csm.count else {
            throw Failure.system(call: "write", error: errno)
        }
        var wanted = pollfd(fd: socket, events: Int16(POLLIN), revents: 0)
        guard poll(&wanted, 1, 10_000) == 1 else { throw Failure.silent }
        guard fcntl(socket, F_SETFL, O_NONBLOCK) == 0 else { throw Failure.system(call: "fcntl", error: errno) }
        self.socket = socket
        self.owed = window
    }

    /// Sends the Pings that are due. What the socket does not take is sent after the next answer; there is one to come,
    /// for a socket that is full holds Pings.
    mutating func send(_ pings: [UInt8]) throws {
        guard self.owed > 0 else { return }
        let bytes = min(self.owed * Self.ping.count, pings.count)
        let count = write(self.socket, pings, bytes)
        if count < 0 {
            guard errno == EAGAIN else { throw Failure.system(call: "write", error: errno) }
            return
        }
        // An odd number would leave half a Ping behind; so few bytes go whole or not at all.
        guard count.isMultiple(of: Self.ping.count) else { throw Failure.system(call: "write", error: 0) }
        self.owed -= count / Self.ping.count
    }

    /// Reads what there is, and owes a Ping for each Pong in it.
    /// - Returns: how many Pongs came.
    mutating func receive(_ buffer: UnsafeMutableRawBufferPointer) throws -> Int {
        let kept = self.rest.count
        self.rest.withUnsafeBytes { buffer.copyMemory(from: $0) }
        guard let start = buffer.baseAddress else { return 0 }
        let count = read(self.socket, start + kept, buffer.count - kept)
        if count == 0 { throw Failure.closed }
        if count < 0 {
            guard errno == EAGAIN else { throw Failure.system(call: "read", error: errno) }
            return 0
        }
        let pongs = try self.pongs(in: UnsafeRawBufferPointer(rebasing: buffer[..<(kept + count)]))
        self.owed += pongs
        return pongs
    }

    /// Goes from frame to frame (RFC 8323 §3.2), and keeps what is left.
    private mutating func pongs(in bytes: UnsafeRawBufferPointer) throws -> Int {
        var pongs = 0
        var index = 0
        while index + 2 <= bytes.count {
            let header = bytes[index]
            let length = Int(header >> 4)
            // An answer that tells more than 268 bytes is none to a Ping.
            guard length < 14 else { throw Failure.aborted }
            let more = length == 13 ? 1 : 0
            guard index + 2 + more <= bytes.count else { break }
            let body = more == 1 ? 13 + Int(bytes[index + 1]) : length
            let end = index + 2 + more + Int(header & 0xF) + body
            guard end <= bytes.count else { break }
            switch bytes[index + 1 + more] {
            case Self.pongCode: pongs += 1
            case Self.abortCode: throw Failure.aborted
            default: break
            }
            index = end
        }
        self.rest = Array(bytes[index...])
        return pongs
    }

    /// So many Pings in a row.
    static func pings(_ count: Int) -> [UInt8] {
        Array(repeatElement(self.ping, count: count).joined())
    }
}
