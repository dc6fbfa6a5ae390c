import CoAP
import NIOCore
import NIOWebSocket

//  In a WebSocket message the frame of RFC 8323 §3.2 has no length of its own: Len is 0, and there is no extended
//  length (RFC 8323 §4.2).
//
//  +--------+------+-------------------------+-------+---------+------+---------+
//  | 0 |TKL | Code | ext. token length 0…2   | Token | Options | 0xFF | Payload |
//  +--------+------+-------------------------+-------+---------+------+---------+

/// Which end of a WebSocket connection we are.
enum WebSocketRole: Hashable, Sendable {
    case server
    case client
}

/// The rules of WebSocket frames for CoAP, without input or output (RFC 6455 §5, RFC 8323 §4).
struct WebSocketMessages {
    enum Action: Equatable {
        case nothing
        /// One message, as the frame it is over TCP.
        case message(ByteBuffer)
        /// A Ping with this in it, to be answered by a Pong with the same.
        case ping(ByteBuffer)
        /// A Pong that nobody has asked for.
        case pong
        /// The peer closes: answer with the same code, then close.
        case closing(WebSocketErrorCode?)
        /// Not a message of CoAP: Abort, then close with 1002.
        case malformed(DecodeError)
        /// Close with this code; the text says why.
        case fail(WebSocketErrorCode, String)
    }

    /// Unspecified: nobody cuts a message into more pieces. Empty ones would cost nothing but time.
    static let maximumFragments = 1024

    private let role: WebSocketRole
    private let limits: FrameLimits
    private var joined: ByteBuffer?
    private var fragments = 0
    /// The peer has closed, or broke a rule: nothing counts any more.
    private(set) var isOver = false

    init(role: WebSocketRole, limits: FrameLimits) {
        self.role = role
        self.limits = limits
    }

    mutating func received(_ frame: WebSocketFrame) -> Action {
        guard !self.isOver else { return .nothing }
        let action = self.decide(frame)
        switch action {
        case .nothing, .message, .ping, .pong: break
        case .closing, .malformed, .fail: self.isOver = true
        }
        return action
    }

    private mutating func decide(_ frame: WebSocketFrame) -> Action {
        // RFC 6455 §5.1: a client masks, a server does not.
        guard (frame.maskKey != nil) == (self.role == .server) else {
            return .fail(.protocolError, self.role == .server ? "a frame is not masked" : "a frame is masked")
        }
        guard !frame.rsv1, !frame.rsv2, !frame.rsv3 else {
            return .fail(.protocolError, "a frame belongs to an extension that was not agreed on")
        }
        switch frame.opcode {
        case .ping:
            return .ping(frame.unmaskedData)
        case .pong:
            return .pong
        case .connectionClose:
            var data = frame.unmaskedData
            return .closing(data.readWebSocketErrorCode())
        case .text:
            return .fail(.unacceptableData, "a text message: CoAP is binary")
        case .binary:
            guard self.joined == nil else {
                return .fail(.protocolError, "a message begins in the middle of another")
            }
            guard !frame.fin else { return self.whole(frame.unmaskedData) }
            self.fragments = 0
            self.joined = ByteBuffer()
            return self.join(frame.unmaskedData, isLast: false)
        case .continuation:
            guard self.joined != nil else {
                return .fail(.protocolError, "a continuation of nothing")
            }
            return self.join(frame.unmaskedData, isLast: frame.fin)
        default:
            return .fail(.protocolError, "a frame of an unknown kind")
        }
    }

    /// In place: a copy for every piece would cost the square of what the peer sends.
    private mutating func join(_ piece: ByteBuffer, isLast: Bool) -> Action {
        self.fragments += 1
        guard (self.joined?.readableBytes ?? 0) + piece.readableBytes <= self.limits.maximumMessageSize else {
            return .fail(.messageTooLarge, "a message exceeds \(self.limits.maximumMessageSize) bytes")
        }
        guard self.fragments <= Self.maximumFragments else {
            return .fail(.policyViolation, "a message comes in more than \(Self.maximumFragments) pieces")
        }
        self.joined?.writeImmutableBuffer(piece)
        guard isLast, let message = self.joined else { return .nothing }
        self.joined = nil
        return self.whole(message)
    }

    private func whole(_ message: ByteBuffer) -> Action {
        do throws(DecodeError) {
            return .message(try Self.frame(of: message))
        } catch {
            return .malformed(error)
        }
    }

    // MARK: The two forms of a message

    /// The frame over TCP of a message in its WebSocket form.
    static func frame(of message: ByteBuffer) throws(DecodeError) -> ByteBuffer {
        guard let first: UInt8 = message.getInteger(at: message.readerIndex) else { throw .shortMessage }
        guard first >> 4 == 0 else { throw .lengthInWebSocket(nibble: first >> 4) }
        let tokenNibble = first & 0xF
        let head: Int
        switch tokenNibble {
        case 0...8:
            head = 2 + Int(tokenNibble)
        case 13:
            guard let more: UInt8 = message.getInteger(at: message.readerIndex + 2) else { throw .shortMessage }
            head = 3 + Int(more) + 13
        case 14:
            guard let more: UInt16 = message.getInteger(at: message.readerIndex + 2) else { throw .shortMessage }
            head = 4 + Int(more) + 269
        default:
            throw .tokenLength(nibble: tokenNibble)
        }
        let body = message.readableBytes - head
        guard body >= 0 else { throw .shortMessage }
        var frame = ByteBuffer()
        frame.reserveCapacity(message.readableBytes + 4)
        Message.writeLength(of: body, tokenNibble: tokenNibble, into: &frame)
        frame.writeBytes(message.readableBytesView.dropFirst())
        return frame
    }

    /// The WebSocket form of one whole frame over TCP of ours.
    static func message(of frame: ByteBuffer) -> ByteBuffer {
        let bytes = frame.readableBytesView
        guard let first = bytes.first else { return frame }
        let lengthExtension =
            switch first >> 4 {
            case 13: 1
            case 14: 2
            case 15: 4
            default: 0
            }
        var message = ByteBuffer()
        message.reserveCapacity(frame.readableBytes)
        message.writeInteger(first & 0xF)
        message.writeBytes(bytes.dropFirst(1 + lengthExtension))
        return message
    }
}
