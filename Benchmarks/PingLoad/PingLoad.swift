import CEpoll
import Glibc

/// Many connections on one thread, each with a fixed number of Pings unanswered.
///
/// Many, because a gateway takes only so many messages a second from one peer: what is to be measured is the server,
/// not this bound.
struct PingLoad {
    struct Result {
        var pongs = 0
        var seconds = 0.0
    }

    private var connections: [PingConnection] = []
    private let epoll: CInt
    private let pings: [UInt8]

    init(port: UInt16, connections: Int, window: Int) throws {
        self.epoll = epoll_create1(0)
        self.pings = PingConnection.pings(window)
        self.connections.reserveCapacity(connections)
        for index in 0..<connections {
            let connection = try PingConnection(port: port, window: window)
            var event = epoll_event()
            event.events = EPOLLIN.rawValue
            event.data.u64 = UInt64(index)
            guard epoll_ctl(self.epoll, EPOLL_CTL_ADD, connection.socket, &event) == 0 else {
                throw PingConnection.Failure.system(call: "epoll_ctl", error: errno)
            }
            self.connections.append(connection)
        }
    }

    /// Runs for `warming` seconds, then counts for `seconds`.
    mutating func run(warming: Double, seconds: Double) throws -> Result {
        for index in self.connections.indices { try self.connections[index].send(self.pings) }
        _ = try self.turn(for: warming)
        return try self.turn(for: seconds)
    }

    private mutating func turn(for seconds: Double) throws -> Result {
        var result = Result()
        var events = Array(repeating: epoll_event(), count: 512)
        let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: 65_536, alignment: 16)
        defer { buffer.deallocate() }
        let start = Self.now
        while result.seconds < seconds {
            let count = epoll_wait(self.epoll, &events, CInt(events.count), 100)
            guard count >= 0 || errno == EINTR else {
                throw PingConnection.Failure.system(call: "epoll_wait", error: errno)
            }
            for event in events.prefix(Int(max(count, 0))) {
                let index = Int(event.data.u64)
                result.pongs += try self.connections[index].receive(buffer)
                try self.connections[index].send(self.pings)
            }
            result.seconds = Self.now - start
        }
        return result
    }

    private static var now: Double {
        var time = timespec()
        clock_gettime(CLOCK_MONOTONIC, &time)
        return Double(time.tv_sec) + Double(time.tv_nsec) / 1_000_000_000
    }
}
