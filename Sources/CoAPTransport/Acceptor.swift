import Certificates
import CoAP
import Logging
import NIOCore

/// Fills the pipelines of accepted connections.
struct Acceptor: Sendable {
    let connections: ConnectionSet
    let configuration: SharedConfiguration
    let limits: TransportLimits
    let loopWatch: LoopWatch?
    let logger: Logger
    let makeDelegate: @Sendable () -> any ConnectionDelegate

    /// The end of the pipeline: CoAP begins, as soon as the channel is active.
    func addCoAP(to channel: any Channel, arrival: ConnectionArrival) throws {
        let ended = channel.eventLoop.makePromise(of: ConnectionEnd.self)
        let handler = ConnectionHandler(
            configuration: self.configuration, limits: self.limits, delegate: self.makeDelegate(),
            tokenSeed: .random(in: .min ... .max), ended: ended, turn: self.loopWatch?.turn(of: channel.eventLoop),
            arrival: arrival, isMemoryShort: self.connections.group.ceiling.isMemoryShort, logger: self.logger)
        let connection = CoAPConnection(channel: channel, handler: handler, ended: ended.futureResult)
        self.connections.insert(ObjectIdentifier(channel as AnyObject), connection)
        try connection.addHandler()
    }

    /// Everything in front of it, in the order of the bytes: PROXY header, first bytes, TLS, HTTP and WebSocket.
    func addFront(to channel: any Channel, transport: ListenerTransport, proxies: ProxySources) throws {
        let pipeline = channel.pipeline.syncOperations
        var arrival = ConnectionArrival()
        arrival.scheme = transport.scheme
        let isProxy = channel.remoteAddress.map(proxies.contains) ?? false
        let front = ListenerFront(
            acceptor: self, channel: channel, transport: transport, arrival: arrival, isProxied: isProxy)
        if !isProxy, !self.connections.group.admits(channel.remoteAddress) {
            front.refused(.sourceRate, metadata: [:])
            return channel.reset()
        }
        if isProxy {
            try pipeline.addHandler(ProxyHeaderHandler { front.proxied($0) })
        }
        try pipeline.addHandler(
            FirstBytesHandler(scheme: transport.scheme) { front.refused($0, metadata: $1) })
        if let certificates = transport.certificates {
            if let room = self.connections.group.handshakeRoom(on: channel.eventLoop) {
                try pipeline.addHandler(HandshakeGate(room: room) { front.refused(.handshakeQueue, metadata: [:]) })
            }
            let handshake = certificates.handshake()
            front.handshake = handshake
            try pipeline.addHandler(handshake.handler)
        }
        if transport.scheme.isWebSocket {
            try front.addUpgrade(to: pipeline, limits: self.configuration.value.limits)
        }
        if front.isWaiting {
            try pipeline.addHandler(front)
        } else {
            // Plain TCP: our CSM does not wait for the peer's first byte (RFC 8323 §5.3).
            try self.addCoAP(to: channel, arrival: arrival)
        }
    }
}
