import CoAP
import NIOCore
import NIOPosix
import Synchronization
import TestSupport
import Testing

@testable import CoAPTransport

@Suite("Dialling", .timeLimit(.minutes(1)))
struct DialerTests {
    private struct Echo: Responder {
        func respond(to request: Request, answer: @escaping @Sendable (Response) -> Void) {
            answer(Response(.content, payload: request.payload))
        }
    }

    private static let dialer = CoAPDialer(
        group: MultiThreadedEventLoopGroup.singleton, logger: ListenerBench.logger)

    @Test("Both ends of a connection may ask; each gets its own answers")
    func bothWays() async throws {
        try await ListenerBench.with(handling: { connection, request, id in
            Echo().respond(to: request) { connection.respond(to: id, with: $0) }
        }) { bench in
            let client = try await Self.dialer.connect(
                host: "127.0.0.1", port: bench.listener.port, timeout: .seconds(5), server: Echo())
            let server = try await bench.next("a connection") { if case .opened(let it) = $0 { it } else { nil } }
            for (index, connection) in [client, server, client].enumerated() {
                let payload = ByteBuffer(integer: index)
                let answer = try await connection.send(
                    Request(.post, path: ["echo"], payload: payload), timeout: .seconds(5))
                #expect(answer.payload == payload)
            }
            await client.close()
            #expect(try await bench.end() == .released(holdOffSeconds: nil))
        }
    }

    @Test("Who dials and serves nothing answers 4.04")
    func noServer() async throws {
        try await ListenerBench.with { bench in
            let client = try await Self.dialer.connect(
                host: "127.0.0.1", port: bench.listener.port, timeout: .seconds(5), server: nil)
            let server = try await bench.next("a connection") { if case .opened(let it) = $0 { it } else { nil } }
            #expect(try await server.send(Request(.get, path: ["x"]), timeout: .seconds(5)).code == .notFound)
            await client.close()
        }
    }

    @Test("A port nobody listens on is refused, in a sentence that names it")
    func refused() async throws {
        // Bound and closed again: nobody listens there now.
        let free = try await ServerBootstrap(group: MultiThreadedEventLoopGroup.singleton)
            .bind(host: "127.0.0.1", port: 0).get()
        let port = try #require(free.localAddress?.port)
        try await free.close()
        do throws(TransportError) {
            _ = try await Self.dialer.connect(host: "127.0.0.1", port: port, timeout: .seconds(5), server: nil)
            Issue.record("connected")
        } catch {
            #expect(error.code == .refused)
            #expect(error.message == "127.0.0.1:\(port): connection refused: nothing listens there")
        }
    }

    @Test("Errors of the system become one sentence each")
    func sentences() {
        let late = TransportError(connecting: ChannelError.connectTimeout(.milliseconds(250)), to: "cloud:5683")
        #expect(late.code == .timedOut)
        #expect(late.message == "cloud:5683: no answer to the connection attempt within 250 ms")
        let unknown = TransportError(
            connecting: SocketAddressError.unsupported, to: "cloud:5683")
        #expect(unknown.code == .unresolved)
        let other = TransportError(connecting: ChannelError.eof, to: "cloud:5683")
        #expect(other.code == .failed)
        #expect(other.message.hasPrefix("cloud:5683: "))
    }
}
