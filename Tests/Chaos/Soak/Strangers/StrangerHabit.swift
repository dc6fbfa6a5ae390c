import CoAP
package import NIOCore
import TestSupport

/// What somebody does who connects and is no device that behaves.
package enum StrangerHabit: String, Sendable, Hashable, CaseIterable, Codable {
    // At the port for devices.
    case silent
    case garbage
    /// A CSM, and then nothing.
    case csmOnly = "csm-only"
    /// The beginning of a message.
    case halfFrame = "half-frame"
    /// A sign-in, a byte at a time.
    case drip
    /// A message of four gigabytes is announced.
    case oversize
    /// A token length that does not exist (RFC 8323 §3.2).
    case reservedTokenLength = "reserved-token-length"
    /// More Pings than anybody reads the Pongs of.
    case unreadPongs = "unread-pongs"
    /// Requests of somebody who has not signed in.
    case unsigned
    case wrongSignIn = "wrong-sign-in"
    case wrongSignUp = "wrong-sign-up"
    case tls
    case webSocket = "web-socket"
    case proxyHeader = "proxy-header"
    // At the port for HTTP.
    case httpSilent = "http-silent"
    case httpGarbage = "http-garbage"
    case httpHalfHead = "http-half-head"
    case httpHalfBody = "http-half-body"
    case httpEndlessHead = "http-endless-head"
    case httpUnknownToken = "http-unknown-token"
    /// Many requests at once, and no answer is read.
    case httpUnread = "http-unread"
    /// What a client may do, and then does not wait for.
    case httpImpatient = "http-impatient"
    case httpObserver = "http-observer"
    case httpEvents = "http-events"

    package var isHTTP: Bool { self.rawValue.hasPrefix("http-") }

    /// Takes nothing from its socket.
    package var reads: Bool { self != .unreadPongs && self != .httpUnread }

    /// Bytes, after some time.
    package struct Step: Sendable, Hashable {
        package var pause: TimeAmount
        package var bytes: ByteBuffer

        package init(_ bytes: ByteBuffer, after pause: TimeAmount = .zero) {
            self.bytes = bytes
            self.pause = pause
        }
    }

    /// What a stranger knows of the gateway: a device, and the token of a client that may ask it.
    package struct Knowledge: Sendable, Hashable {
        package var di: String
        package var token: String

        package init(di: String, token: String) {
            self.di = di
            self.token = token
        }
    }

    package func steps(
        _ knowledge: Knowledge, using generator: inout some RandomNumberGenerator
    ) -> [Step] {
        switch self {
        case .silent, .httpSilent: []
        case .garbage, .httpGarbage: [Step(Self.noise(1...4096, using: &generator))]
        case .csmOnly: [Step(Self.frame(Message(code: .capabilitiesAndSettings, token: Token([UInt8]()))))]
        case .halfFrame:
            [Step(Self.part(of: Self.frame(Self.signIn(using: &generator)), using: &generator))]
        case .drip: Self.dripped(Self.frame(Self.signIn(using: &generator)), every: .milliseconds(100))
        // Len 15, then four bytes: RFC 8323 §3.2.
        case .oversize:
            [Step(ByteBuffer(bytes: [0xF0, 0xFF, 0xFF, 0xFF, 0xFF, 0x02] + [UInt8](repeating: 0, count: 512)))]
        case .reservedTokenLength: [Step(ByteBuffer(bytes: [0x0F, 0x01, 0x00, 0x00]))]
        case .unreadPongs: [Step(Self.pings(20_000))]
        case .unsigned:
            (0..<5).map { _ in
                Step(Self.frame(Self.message(.ocf(.get, "oic/res"))), after: .milliseconds(100))
            }
        case .wrongSignIn: [Step(Self.frame(Self.signIn(using: &generator)))]
        case .wrongSignUp:
            [
                Step(
                    Self.frame(
                        Self.message(
                            .signUp(di: Self.word(using: &generator), code: Self.word(using: &generator)))))
            ]
        case .tls: [Step(Self.clientHello(using: &generator))]
        case .webSocket:
            [
                Step(
                    ByteBuffer(
                        string: "GET /.well-known/coap HTTP/1.1\r\nHost: gateway\r\nUpgrade: websocket\r\n"
                            + "Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Protocol: coap\r\n"
                            + "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"))
            ]
        case .proxyHeader: [Step(ByteBuffer(string: "PROXY TCP4 192.0.2.1 192.0.2.2 5683 5683\r\n"))]
        case .httpHalfHead: [Step(ByteBuffer(string: "GET /devices HTTP/1.1\r\nHost: gateway\r\nAuthoriz"))]
        case .httpHalfBody:
            [
                Step(
                    ByteBuffer(
                        string: "POST /register/user HTTP/1.1\r\nHost: gateway\r\nContent-Length: 4000\r\n"
                            + "Content-Type: application/json\r\n\r\n{\"uid\": \"\(Self.word(using: &generator))\""))
            ]
        case .httpEndlessHead:
            [Step(ByteBuffer(string: "GET / HTTP/1.1\r\n"))]
                + (0..<100).map { number in
                    let value = String(repeating: "x", count: 1000)
                    return Step(ByteBuffer(string: "X-\(number): \(value)\r\n"), after: .milliseconds(20))
                }
        case .httpUnknownToken:
            [Step(Self.get("/devices", token: Self.word(using: &generator)))]
        case .httpUnread:
            [
                Step(
                    ByteBuffer(
                        bytes: (0..<200).flatMap { _ in Self.get("/devices", token: knowledge.token).readableBytesView }
                    ))
            ]
        case .httpImpatient: [Step(Self.get("/\(knowledge.di)/light", token: knowledge.token))]
        case .httpObserver: [Step(Self.get("/\(knowledge.di)/light", token: knowledge.token, stream: true))]
        case .httpEvents: [Step(Self.get("/events", token: knowledge.token, stream: true))]
        }
    }

    // MARK: - Bytes

    private static func noise(
        _ sizes: ClosedRange<Int>, using generator: inout some RandomNumberGenerator
    ) -> ByteBuffer {
        let count = Int.random(in: sizes, using: &generator)
        return ByteBuffer(bytes: (0..<count).map { _ in UInt8.random(in: .min ... .max, using: &generator) })
    }

    private static func word(using generator: inout some RandomNumberGenerator) -> String {
        (0..<24).map { _ in String("abcdefghijklmnopqrstuvwxyz0123456789".randomElement(using: &generator) ?? "x") }
            .joined()
    }

    private static func message(_ request: Request) -> Message {
        Message(code: request.method, token: .unique(), options: request.options, payload: request.payload)
    }

    /// Of somebody nobody knows.
    private static func signIn(using generator: inout some RandomNumberGenerator) -> Message {
        self.message(
            .signIn(
                uid: self.word(using: &generator), di: self.word(using: &generator),
                accessToken: self.word(using: &generator)))
    }

    private static func frame(_ message: Message) -> ByteBuffer {
        var buffer = ByteBuffer()
        message.writeFrame(into: &buffer)
        return buffer
    }

    private static func pings(_ count: Int) -> ByteBuffer {
        var buffer = ByteBuffer()
        for _ in 0..<count { Message(code: .ping, token: .unique()).writeFrame(into: &buffer) }
        return buffer
    }

    private static func part(
        of buffer: ByteBuffer, using generator: inout some RandomNumberGenerator
    ) -> ByteBuffer {
        let count = Int.random(in: 1..<max(2, buffer.readableBytes), using: &generator)
        return ByteBuffer(buffer.readableBytesView.prefix(count))
    }

    private static func dripped(_ buffer: ByteBuffer, every pause: TimeAmount) -> [Step] {
        buffer.readableBytesView.map { Step(ByteBuffer(bytes: [$0]), after: pause) }
    }

    /// The beginning of TLS 1.2's first message, and noise behind it.
    private static func clientHello(using generator: inout some RandomNumberGenerator) -> ByteBuffer {
        var buffer = ByteBuffer(bytes: [0x16, 0x03, 0x01, 0x02, 0x00, 0x01, 0x00, 0x01, 0xFC, 0x03, 0x03])
        buffer.writeImmutableBuffer(self.noise(100...501, using: &generator))
        return buffer
    }

    private static func get(_ path: String, token: String, stream: Bool = false) -> ByteBuffer {
        ByteBuffer(
            string: "GET \(path) HTTP/1.1\r\nHost: gateway\r\nAuthorization: Bearer \(token)\r\n"
                + (stream ? "Accept: text/event-stream\r\n" : "") + "\r\n")
    }
}

/// How somebody goes.
package enum StrangerLeaving: String, Sendable, Hashable, CaseIterable, Codable {
    /// With RST.
    case reset
    /// With FIN.
    case close
    /// With a FIN for one direction, and waits for the other.
    case halfClose = "half-close"
    /// Waits until it is shown out.
    case stay
    /// Without a word: neither FIN nor RST is sent.
    case vanish
}
