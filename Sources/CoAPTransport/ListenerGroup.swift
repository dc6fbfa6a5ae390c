import Certificates
package import Logging
package import NIOCore
import Synchronization

/// Why an accepted connection never came to CoAP.
package enum ListenerRefusal: String, Hashable, Sendable, CaseIterable {
    /// As many connections as may are open.
    case full = "full"
    /// Something other than TLS on a TLS port.
    case plainOnTLS = "plain-on-tls"
    /// A TLS client on a port without TLS.
    case tlsOnPlain = "tls-on-plain"
    /// The TLS handshake failed; a client certificate that is not taken is one reason.
    case handshakeFailed = "handshake-failed"
    /// Handshake, PROXY header or upgrade took too long.
    case timedOut = "timed-out"
    /// A PROXY header that is wrong, missing, or from somebody who may not send one.
    case proxyHeader = "proxy-header"
    /// A WebSocket upgrade that asks for something else.
    case upgradeRefused = "upgrade-refused"
    /// Its turn for a TLS handshake would not come in time.
    case handshakeQueue = "handshake-queue"
    /// Its source opens connections faster than it may.
    case sourceRate = "source-rate"
    /// The process has as many files open as it may: the connection waits in the kernel.
    case noDescriptor = "no-descriptor"
    /// The descriptors that are left are for what the process opens itself.
    case descriptors = "descriptors"
    /// The memory in use comes near what the process may have.
    case memory = "memory"

    var isShortage: Bool { self == .descriptors || self == .memory }
}

/// What the connections of a listener have to fit under besides its own maximum; called on any event loop.
package struct ListenerCeiling: Sendable {
    /// Takes a place; else says why there is none.
    let enter: @Sendable () -> ListenerRefusal?
    /// Gives it back.
    let leave: @Sendable () -> Void
    /// Whether memory is short: then little is kept of what strangers send.
    let isMemoryShort: @Sendable () -> Bool

    package init(
        enter: @escaping @Sendable () -> ListenerRefusal? = { nil }, leave: @escaping @Sendable () -> Void = {},
        isMemoryShort: @escaping @Sendable () -> Bool = { false }
    ) {
        self.enter = enter
        self.leave = leave
        self.isMemoryShort = isMemoryShort
    }
}

/// What the listeners of one program share: how many connections they take together, and who hears of those they did
/// not take.
package final class ListenerGroup: Sendable {
    private struct State {
        var open = 0
        var ports: [URIScheme: Int] = [:]
        var lines = RareLines<ListenerRefusal>()
    }

    package let maximumConnections: Int
    private let limitName: String
    private let logger: Logger
    private let handshakes: HandshakeLimits?
    private let admits: @Sendable (SourcePrefix) -> Bool
    let ceiling: ListenerCeiling
    private let onHandshakeWait: @Sendable (TimeAmount) -> Void
    private let onRefusal: @Sendable (ListenerRefusal) -> Void
    private let rooms = Mutex<[ObjectIdentifier: NIOLoopBoundBox<HandshakeRoom>]>([:])
    private let state = Mutex(State())

    /// - Parameters:
    ///   - maximumConnections: a connection above that is closed as soon as it was accepted.
    ///   - limitName: the setting that `maximumConnections` comes from, for the log line.
    ///   - handshakes: how TLS handshakes are spread over time; nil: not at all.
    ///   - admits: whether one more connection from there is taken; called on any event loop.
    ///   - ceiling: what else a connection has to fit under.
    ///   - onHandshakeWait: how long one of them had to wait; called on any event loop.
    ///   - onRefusal: counts; called on any event loop.
    package init(
        maximumConnections: Int, limitName: String = "MAX_CONNECTIONS", handshakes: HandshakeLimits? = nil,
        logger: Logger,
        admits: @escaping @Sendable (SourcePrefix) -> Bool = { _ in true },
        ceiling: ListenerCeiling = ListenerCeiling(),
        onHandshakeWait: @escaping @Sendable (TimeAmount) -> Void = { _ in },
        onRefusal: @escaping @Sendable (ListenerRefusal) -> Void = { _ in }
    ) {
        self.maximumConnections = maximumConnections
        self.limitName = limitName
        self.handshakes = handshakes
        self.logger = logger
        self.admits = admits
        self.ceiling = ceiling
        self.onHandshakeWait = onHandshakeWait
        self.onRefusal = onRefusal
    }

    // MARK: Places

    /// Takes a place, which whoever got it gives back; else says why there is none.
    func reserve() -> ListenerRefusal? {
        let isFree = self.state.withLock { state in
            guard state.open < self.maximumConnections else { return false }
            state.open += 1
            return true
        }
        guard isFree else { return .full }
        guard let refusal = self.ceiling.enter() else { return nil }
        self.state.withLock { $0.open -= 1 }
        return refusal
    }

    func giveBack() {
        self.ceiling.leave()
        self.state.withLock { $0.open -= 1 }
    }

    /// Whether one more connection from there is taken.
    func admits(_ source: SocketAddress?) -> Bool {
        source.flatMap(SourcePrefix.init).map(self.admits) ?? true
    }

    // MARK: Handshakes

    /// Makes room on the event loops whose connections come here.
    func serves(_ group: any EventLoopGroup) {
        guard let handshakes = self.handshakes else { return }
        let loops = Array(group.makeIterator())
        let limits = handshakes.divided(by: loops.count)
        self.rooms.withLock { rooms in
            for loop in loops where rooms[ObjectIdentifier(loop)] == nil {
                rooms[ObjectIdentifier(loop)] = .makeBoxSendingValue(
                    HandshakeRoom(eventLoop: loop, limits: limits, onWait: self.onHandshakeWait), eventLoop: loop)
            }
        }
    }

    /// Where connections of this loop, on which the caller is, wait for their handshake; nil: they do not.
    func handshakeRoom(on loop: any EventLoop) -> HandshakeRoom? {
        self.rooms.withLock { $0[ObjectIdentifier(loop)] }?.value
    }

    // MARK: Ports

    func opened(_ scheme: URIScheme, port: Int) {
        self.state.withLock { $0.ports[scheme] = port }
    }

    /// Where a peer that means `scheme` had to go; nil if there is no such port.
    func port(of scheme: URIScheme) -> Int? {
        self.state.withLock { $0.ports[scheme] }
    }

    // MARK: Refusals

    /// Counts, and says so in the log: what an operator can put right at info, the rest at debug.
    func refused(_ refusal: ListenerRefusal, metadata: @autoclosure () -> Logger.Metadata) {
        self.onRefusal(refusal)
        guard let level = refusal.level else {
            return self.logger.debug("connection refused: \(refusal.text(self.limitName))", metadata: metadata())
        }
        guard let held = self.state.withLock({ $0.lines.mayWrite(refusal, now: .now()) }) else { return }
        var metadata = metadata()
        if refusal == .full { metadata["connections.maximum"] = "\(self.maximumConnections)" }
        if held > 0 { metadata["unlogged"] = "\(held)" }
        self.logger.log(level: level, "connection refused: \(refusal.text(self.limitName))", metadata: metadata)
    }

    // MARK: Certificates that do not hold any more

    /// One line for all that a look has found.
    func ended(_ fault: PeerCertificateFault, _ connections: [CoAPConnection]) {
        guard let first = connections.first else { return }
        self.logger.info(
            "connections are ended: \(fault.rawValue)",
            metadata: [
                "count": "\(connections.count)", "listener": "\(first.arrival.scheme.rawValue)",
                "peer.address": "\(first.peerAddress)", "device.id": "\(first.arrival.certificate?.uuid ?? "none")",
            ])
    }
}

extension ListenerRefusal {
    /// Nil: what anybody in the world can cause and nobody here can put right.
    fileprivate var level: Logger.Level? {
        switch self {
        case .full, .handshakeQueue, .sourceRate, .noDescriptor, .descriptors: .warning
        case .plainOnTLS, .tlsOnPlain, .proxyHeader: .info
        // Whoever watches the memory has said it once.
        case .handshakeFailed, .timedOut, .upgradeRefused, .memory: nil
        }
    }

    fileprivate func text(_ limitName: String) -> String {
        switch self {
        case .full: "as many as \(limitName) are open"
        case .plainOnTLS: "the peer does not speak TLS, and this port is for TLS"
        case .tlsOnPlain: "the peer speaks TLS, and this port is without"
        case .handshakeFailed: "the TLS handshake failed"
        case .timedOut: "handshake, PROXY header or upgrade took too long"
        case .proxyHeader: "its PROXY header is wrong, missing or not from PROXY_PROTOCOL_FROM"
        case .upgradeRefused: "no upgrade to CoAP over WebSocket was asked for"
        case .handshakeQueue: "more TLS clients come than handshakes can be done; see HANDSHAKES"
        case .sourceRate: "its source opens more connections than SOURCE_RATE lets it"
        case .noDescriptor: "no more files can be opened; it waits: raise the limit (ulimit -n)"
        case .descriptors: "as many are open as the limit of open files has room for: raise it (ulimit -Hn)"
        case .memory: "memory is short"
        }
    }
}
