package import CoAP
package import CoAPTransport
import NIOCore

/// Reaches clouds over TCP, with TLS and WebSocket where the address asks for them.
package struct TCPDialer: CloudDialer {
    private let dialer: CoAPDialer
    private let trust: TLSTrust

    package init(_ dialer: CoAPDialer, trust: TLSTrust = TLSTrust()) {
        self.dialer = dialer
        self.trust = trust
    }

    package func connect(
        to address: ServerAddress, timeout: Duration, server: any Responder,
    ) async throws(ConnectFailure) -> any CloudConnection {
        let transport = try self.transport(address.scheme)
        do throws(TransportError) {
            return TCPConnection(
                connection: try await self.dialer.connect(
                    host: address.host, port: address.port, transport: transport, timeout: TimeAmount(timeout),
                    server: server
                )
            )
        } catch {
            throw ConnectFailure(error, address)
        }
    }

    private func transport(_ scheme: URIScheme) throws(ConnectFailure) -> DialTransport {
        do {
            return try self.trust.transport(scheme)
        } catch {
            throw ConnectFailure(.unusableCertificates, message: "the certificates cannot be used: \(error)")
        }
    }
}

private struct TCPConnection: CloudConnection {
    let connection: CoAPConnection

    func send(_ request: Request, timeout: Duration) async throws(CallFailure) -> Response {
        do throws(ExchangeError) {
            return try await self.connection.send(request, timeout: TimeAmount(timeout))
        } catch {
            throw CallFailure(error, timeout: timeout)
        }
    }

    func close() async {
        await self.connection.close()
    }

    var loss: ConnectionLoss {
        get async { ConnectionLoss(await self.connection.ended) }
    }
}

extension ConnectFailure {
    init(_ error: TransportError, _ address: ServerAddress) {
        let code: Code =
            switch error.code {
            case .unresolved: .unresolvable
            case .refused: .refused
            case .timedOut: .timedOut
            case .untrusted: .untrusted
            case .notTLS: .notTLS
            case .exhausted: .exhausted
            case .failed: .other
            }
        // Whoever reads it knows the address by then.
        let prefix = "\(address.host):\(address.port): "
        let message = error.message.hasPrefix(prefix) ? String(error.message.dropFirst(prefix.count)) : error.message
        self.init(code, message: message)
    }
}

extension CallFailure {
    init(_ error: ExchangeError, timeout: Duration) {
        let (code, message): (Code, String) =
            switch error.failure {
            case .timedOut: (.timedOut, "none came within \(timeout.spoken)")
            case .connectionLost: (.connectionLost, "the connection was lost")
            case .closing: (.connectionLost, "the connection is about to end")
            case .queueFull: (.other, "too many requests are waiting already")
            case .tooLarge(let size, let maximum):
                (.other, "the request has \(size) bytes, the cloud takes \(maximum)")
            case .unusableResponse(let fault): (.unusable, "in the answer, \(fault)")
            }
        self.init(code, wasDelivered: error.delivered, message: message)
    }
}

extension ConnectionLoss {
    init(_ end: ConnectionEnd) {
        switch end {
        case .closedByUs, .releaseUnheeded: self = .closedByUs
        case .closedByPeer: self = .closedByPeer
        case .released(let holdOff): self = .released(holdOff: holdOff)
        case .abortedByPeer(let diagnostic): self = .aborted(diagnostic ?? "")
        case .keepaliveTimeout: self = .timedOut
        case .malformed(let error): self = .failed("what came in is no CoAP: \(error)")
        case .protocolError(let text), .failed(let text): self = .failed(text)
        }
    }
}
