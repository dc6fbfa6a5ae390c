import CBOR
import CoAP
import CoAPTransport
import NIOCore
import NIOSSL
import Synchronization

/// What a case has to work with: connections, identities, HTTP, and what it expects.
package final class CaseContext: Sendable {
    let plan: ConformancePlan
    /// Where the case connects.
    let address: ServerAddress
    let clock: CaseClock
    let transcript = Transcript()
    private let peers = Mutex<[WirePeer]>([])
    private let logins = Mutex<[Login]>([])

    /// What a sign-up gave.
    struct Login: Sendable {
        let di: String
        var uid: String
        var accessToken: String
        var refreshToken: String
        var expiresIn: Int64
    }

    /// Somebody who has signed in.
    struct Session: Sendable {
        let login: Login
        let peer: WirePeer

        var di: String { self.login.di }
    }

    init(plan: ConformancePlan, address: ServerAddress, clock: CaseClock) {
        self.plan = plan
        self.address = address
        self.clock = clock
    }

    // MARK: - Connections

    /// A new connection on which nothing was said yet.
    func connect(
        _ name: String, to address: ServerAddress? = nil, trust: TLSTrust? = nil,
    ) async throws -> WirePeer {
        let address = address ?? self.address
        let tls = address.scheme.isSecure ? try (trust ?? self.plan.trust).context() : nil
        let stream = try await ByteStream.connect(
            host: address.host, port: address.port, tls: tls, within: try self.clock.wait())
        let peer = WirePeer(
            name: name, stream: stream, isWebSocket: address.scheme.isWebSocket, clock: self.clock,
            transcript: self.transcript)
        self.peers.withLock { $0.append(peer) }
        if address.scheme.isWebSocket {
            let rest = try await self.given { try await self.upgrade(stream, at: address) }
            await peer.push(rest)
        }
        return peer
    }

    /// A new connection, our CSM sent: large answers are welcome.
    func open(_ name: String, maximumMessageSize: UInt64 = 1 << 20) async throws -> WirePeer {
        let peer = try await self.connect(name)
        await peer.send(.csm((2, maximumMessageSize)))
        return peer
    }

    /// A stream that somebody else speaks on.
    func stream(to address: ServerAddress, tls: NIOSSLContext?) async throws -> ByteStream {
        try await ByteStream.connect(host: address.host, port: address.port, tls: tls, within: try self.clock.wait())
    }

    /// Asks for WebSocket (RFC 8323 §4.1) and returns what came behind the answer.
    private func upgrade(_ stream: ByteStream, at address: ServerAddress) async throws -> ByteBuffer {
        let text = Self.upgradeRequest(address, path: "/.well-known/coap", subprotocol: "coap")
        await stream.send(ByteBuffer(string: text))
        var raw = ByteBuffer()
        while true {
            guard var bytes = try await stream.next(within: try self.clock.wait()) else {
                throw CaseFailure(expected: "101 to the WebSocket's handshake", got: "the end of the connection")
            }
            raw.writeBuffer(&bytes)
            if let end = raw.readableBytesView.endOfHead {
                let head = raw.readSlice(length: end) ?? ByteBuffer()
                let answer = String(buffer: head)
                guard answer.hasPrefix("HTTP/1.1 101") else {
                    throw CaseFailure(
                        expected: "101 to the WebSocket's handshake", got: sanitized(answer, limit: 200))
                }
                return raw
            }
        }
    }

    static func upgradeRequest(_ address: ServerAddress, path: String, subprotocol: String?) -> String {
        var lines = [
            "GET \(path) HTTP/1.1", "Host: \(address.authority)", "Upgrade: websocket", "Connection: Upgrade",
            "Sec-WebSocket-Key: \(WebSocketFraming.key)", "Sec-WebSocket-Version: 13",
        ]
        if let subprotocol { lines.append("Sec-WebSocket-Protocol: \(subprotocol)") }
        return lines.joined(separator: "\r\n") + "\r\n\r\n"
    }

    // MARK: - Identities

    /// An id nobody has yet.
    func freshDI() -> String {
        var digits = hexadecimal((0..<16).map { _ in UInt8.random(in: .min ... .max) })
        // A random UUID says so in these places (RFC 9562 §5.4).
        for (offset, digit) in [(12, "4"), (16, "a")] as [(Int, Character)] {
            let index = digits.index(digits.startIndex, offsetBy: offset)
            digits.replaceSubrange(index...index, with: [digit])
        }
        let parts = [0..<8, 8..<12, 12..<16, 16..<20, 20..<32].map { range in
            String(digits.dropFirst(range.lowerBound).prefix(range.count))
        }
        return parts.joined(separator: "-")
    }

    func code(
        _ kind: Provisioner.Kind = .device, _ di: String, of user: Provisioner.User = .first
    ) async throws -> String {
        try await self.given { try await self.plan.provisioner.code(kind, di, of: user, clock: self.clock) }
    }

    /// Signs up, as a step on the way.
    func signedUp(
        _ kind: Provisioner.Kind = .device, on peer: WirePeer, of user: Provisioner.User = .first
    ) async throws -> Login {
        let di = self.freshDI()
        let code = try await self.code(kind, di, of: user)
        return try await self.given {
            let answer = try await peer.ask(.signUp(di: di, code: code))
            return try self.login(answer, di: di)
        }
    }

    /// Reads the answer to a sign-up or refresh, and keeps it for the end.
    func login(_ answer: Message, di: String, uid: String? = nil) throws -> Login {
        guard answer.code == .changed, let item = answer.item, let access = item["accesstoken"]?.string,
            let refresh = item["refreshtoken"]?.string, let expires = item["expiresin"]?.integer,
            let uid = item["uid"]?.string ?? uid
        else {
            throw CaseFailure(
                expected: "2.04 with accesstoken, refreshtoken, expiresin and uid", got: summary(of: answer))
        }
        let login = Login(di: di, uid: uid, accessToken: access, refreshToken: refresh, expiresIn: expires)
        self.logins.withLock { $0.append(login) }
        return login
    }

    /// Signs in, as a step on the way.
    func signIn(_ login: Login, on peer: WirePeer) async throws -> Session {
        try await self.given {
            let answer = try await peer.ask(.signIn(login))
            guard answer.code == .changed else {
                throw CaseFailure(expected: "2.04 to a sign-in", got: summary(of: answer))
            }
            return Session(login: login, peer: peer)
        }
    }

    /// A device or client that has signed up and in.
    func session(
        _ name: String, _ kind: Provisioner.Kind = .device, of user: Provisioner.User = .first,
    ) async throws -> Session {
        let peer = try await self.open(name)
        let login = try await self.signedUp(kind, on: peer, of: user)
        return try await self.signIn(login, on: peer)
    }

    /// A device that has signed in and a client of the same user.
    func pair() async throws -> (device: Session, client: Session) {
        (try await self.session("device"), try await self.session("client", .client))
    }

    /// Publishes links, as a step on the way.
    func publish(_ session: Session, _ links: DataItem..., ttl: Int64 = 0) async throws {
        try await self.given {
            let answer = try await session.peer.ask(.publish(di: session.di, links, ttl: ttl))
            guard answer.code == .changed else {
                throw CaseFailure(expected: "2.04 to a publication", got: summary(of: answer))
            }
        }
    }

    // MARK: - HTTP

    func http(
        _ method: String, _ path: String, token: String? = nil, headers: [(String, String)] = [], body: String? = nil,
    ) async throws -> HTTPAnswer {
        guard let door = self.plan.http else { throw CaseSkip("needs --http") }
        return try await door.request(
            method, path, token: token, headers: headers, body: body,
            tls: door.isSecure ? try self.plan.tlsContext() : nil, clock: self.clock, transcript: self.transcript)
    }

    /// The first user's token.
    func userToken() throws -> String { try self.plan.provisioner.token(of: .first) }

    // MARK: - Expecting

    /// What fails in here is a step on the way to what the case is about.
    func given<R: Sendable>(_ body: @Sendable () async throws -> R) async throws -> R {
        do {
            return try await body()
        } catch var failure as CaseFailure {
            failure.stage = .given
            throw failure
        }
    }

    func expect(_ condition: Bool, _ expected: @autoclosure () -> String, _ got: @autoclosure () -> String) throws {
        guard condition else { throw CaseFailure(expected: expected(), got: got()) }
    }

    /// The answer has one of these codes.
    func expect(_ answer: Message, _ codes: Code..., to what: @autoclosure () -> String) throws {
        try self.expect(
            codes.contains(answer.code),
            "\(codes.map { "\($0)" }.joined(separator: " or ")) to \(what())", summary(of: answer))
    }

    /// Asks until the answer is what is meant to come, for what no message announces.
    func eventually<R: Sendable>(
        _ expected: String, within patience: Duration? = nil, _ look: @Sendable () async throws -> (R, isThere: Bool)
    ) async throws -> R {
        let deadline = ContinuousClock.now + (try self.clock.wait(patience))
        while true {
            let (found, isThere) = try await look()
            if isThere { return found }
            guard ContinuousClock.now < deadline else { throw CaseFailure(expected: expected, got: "\(found)") }
            try await Task.sleep(for: .milliseconds(100))
        }
    }

    // MARK: - The end

    /// Closes the case's connections, and signs off what it has signed up unless its users go as a whole.
    func cleanUp() async {
        for peer in self.peers.withLock({ $0 }) { await peer.close() }
        let logins = self.logins.withLock { $0 }
        guard !logins.isEmpty, !self.plan.provisioner.takesUsersAway else { return }
        let end = CaseContext(
            plan: self.plan, address: self.address, clock: CaseClock(patience: .seconds(2), end: .now + .seconds(5)))
        guard let peer = try? await end.connect("end") else { return }
        for login in logins {
            let queries = ["di=\(login.di)", "accesstoken=\(login.accessToken)"]
            _ = try? await peer.ask(.ocf(.delete, "oic/sec/account", queries: queries))
        }
        await peer.close()
    }
}

extension ByteBufferView {
    /// Where what stands behind an HTTP head begins.
    fileprivate var endOfHead: Int? {
        let bytes = Array(self)
        guard bytes.count >= 4 else { return nil }
        return (4...bytes.count).first { bytes[($0 - 4)..<$0].elementsEqual([13, 10, 13, 10]) }
    }
}
