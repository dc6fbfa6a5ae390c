import Glibc
import Synchronization
import TestSupport

/// Stands between a client and a server on 127.0.0.1, and can lose what the server says: from the moment a client's
/// bytes contain a given word, nothing comes back on that connection, and it is cut.
final class SwallowingProxy: Sendable {
    let port: Int
    private let target: Int
    private let listener: Int32
    private let state = Mutex<(trap: [UInt8]?, sprung: Int)>((nil, 0))

    init(to target: Int) throws {
        self.target = target
        self.listener = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        var length = socklen_t(MemoryLayout<sockaddr_in>.size)
        var address = Self.address(0)
        let listener = self.listener
        let status = withUnsafeMutablePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                bind(listener, $0, length) == 0 && listen(listener, 64) == 0
                    ? getsockname(listener, $0, &length) : -1
            }
        }
        guard status == 0 else { throw PeerError("the proxy cannot listen") }
        self.port = Int(UInt16(bigEndian: address.sin_port))
        Self.thread { self.accept() }
    }

    /// Loses the answer to the next request with this text in it, once.
    func swallowAnswer(to text: String) { self.state.withLock { $0.trap = Array(text.utf8) } }

    var swallowed: Int { self.state.withLock { $0.sprung } }

    func close() { shutdown(self.listener, Int32(SHUT_RDWR)) }

    private static func address(_ port: Int) -> sockaddr_in {
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_port = in_port_t(UInt16(port)).bigEndian
        address.sin_addr.s_addr = inet_addr("127.0.0.1")
        return address
    }

    private static func thread(_ body: @escaping @Sendable () -> Void) {
        final class Job: Sendable {
            let body: @Sendable () -> Void
            init(_ body: @escaping @Sendable () -> Void) { self.body = body }
        }
        var thread = pthread_t()
        pthread_create(
            &thread, nil,
            { context in
                if let context { Unmanaged<Job>.fromOpaque(context).takeRetainedValue().body() }
                return nil
            }, Unmanaged.passRetained(Job(body)).toOpaque())
        pthread_detach(thread)
    }

    private func accept() {
        while true {
            let client = Glibc.accept(self.listener, nil, nil)
            guard client >= 0 else { break }
            Self.thread { self.serve(client) }
        }
        Glibc.close(self.listener)
    }

    private func serve(_ client: Int32) {
        let server = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        var address = Self.address(self.target)
        let status = withUnsafePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                connect(server, $0, socklen_t(MemoryLayout<sockaddr_in>.size))
            }
        }
        defer {
            Glibc.close(client)
            Glibc.close(server)
        }
        guard status == 0 else { return }
        var bytes = [UInt8](repeating: 0, count: 65_536)
        var isTrapped = false
        while true {
            var sockets = [
                pollfd(fd: client, events: Int16(POLLIN), revents: 0),
                pollfd(fd: server, events: Int16(POLLIN), revents: 0),
            ]
            guard poll(&sockets, 2, -1) > 0 else { continue }
            if sockets[0].revents != 0 {
                let count = read(client, &bytes, bytes.count)
                guard count > 0 else { return }
                if self.springs(bytes[..<count]) { isTrapped = true }
                guard write(server, bytes, count) == count else { return }
            }
            if sockets[1].revents != 0 {
                let count = read(server, &bytes, bytes.count)
                // The server has done it and said so; the client never hears.
                guard count > 0, !isTrapped else { return }
                guard write(client, bytes, count) == count else { return }
            }
        }
    }

    private func springs(_ bytes: ArraySlice<UInt8>) -> Bool {
        self.state.withLock { state in
            guard let trap = state.trap, bytes.count >= trap.count,
                bytes.indices.dropLast(trap.count - 1).contains(where: {
                    bytes[$0..<($0 + trap.count)].elementsEqual(trap)
                })
            else { return false }
            state.trap = nil
            state.sprung += 1
            return true
        }
    }
}
