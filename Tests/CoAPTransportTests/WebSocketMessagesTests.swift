import CoAP
import NIOCore
import NIOWebSocket
import TestSupport
import Testing

@testable import CoAPTransport

@Suite("CoAP over WebSocket: the messages alone")
struct WebSocketMessagesTests {
    private static let key: WebSocketMaskingKey = [1, 2, 3, 4]

    private static func frame(
        _ opcode: WebSocketOpcode, _ bytes: [UInt8], fin: Bool = true, masked: Bool = true
    ) -> WebSocketFrame {
        var data = ByteBuffer(bytes: bytes)
        if masked { data.webSocketMask(self.key) }
        return WebSocketFrame(fin: fin, opcode: opcode, maskKey: masked ? self.key : nil, data: data)
    }

    private static func messages(_ limits: FrameLimits = FrameLimits(maximumMessageSize: 4096)) -> WebSocketMessages {
        WebSocketMessages(role: .server, limits: limits)
    }

    @Test("RFC 8323 §4.2: every length of body and token goes there and back")
    func bothForms() throws {
        let limits = FrameLimits(maximumTokenLength: 4000)
        for token in [0, 1, 8, 13, 268, 269, 4000] {
            for body in [0, 2, 12, 13, 14, 268, 269, 300, 65804, 65805, 65900] {
                var message = Message(code: .content, token: Token([UInt8](repeating: 7, count: token)))
                if body > 1 { message.payload = ByteBuffer(repeating: 0x61, count: body - 1) }
                var frame = ByteBuffer()
                message.writeFrame(into: &frame)
                let carried = WebSocketMessages.message(of: frame)
                #expect(carried.getInteger(at: 0, as: UInt8.self).map { $0 >> 4 } == 0)
                var back = try WebSocketMessages.frame(of: carried)
                #expect(back == frame)
                #expect(try Message(readingFrameFrom: &back, limits: limits) == message)
            }
        }
    }

    @Test(
        "C-89: what is no message: a length nibble, a reserved token length, an end before the token's",
        arguments: [
            ([0x10, 0x01, 0x00], .lengthInWebSocket(nibble: 1)), ([0xF8, 0x01], .lengthInWebSocket(nibble: 15)),
            ([0x09, 0x01], .tokenLength(nibble: 9)), ([0x0F, 0x01], .tokenLength(nibble: 15)),
            ([], .shortMessage), ([0x00], .shortMessage), ([0x08, 0x01, 1, 2, 3, 4, 5, 6, 7], .shortMessage),
            ([0x0D, 0x01], .shortMessage), ([0x0E, 0x01, 0], .shortMessage), ([0x0D, 0x01, 0], .shortMessage),
        ] as [([UInt8], DecodeError)])
    func malformed(_ bytes: [UInt8], error: DecodeError) {
        #expect(throws: error) { try WebSocketMessages.frame(of: ByteBuffer(bytes: bytes)) }
        var messages = Self.messages()
        #expect(messages.received(Self.frame(.binary, bytes)) == .malformed(error))
        #expect(messages.received(Self.frame(.binary, [0, 0xE2])) == .nothing)
    }

    @Test("C-89: a message in pieces is one, with a Ping between them answered")
    func pieces() {
        var messages = Self.messages()
        #expect(messages.received(Self.frame(.binary, [0x01], fin: false)) == .nothing)
        #expect(messages.received(Self.frame(.continuation, [], fin: false)) == .nothing)
        #expect(messages.received(Self.frame(.ping, [9])) == .ping(ByteBuffer(bytes: [9])))
        #expect(messages.received(Self.frame(.pong, [9])) == .pong)
        #expect(
            messages.received(Self.frame(.continuation, [0x01, 0xAA])) == .message(ByteBuffer(bytes: [1, 1, 0xAA])))
        #expect(messages.received(Self.frame(.binary, [0, 1])) == .message(ByteBuffer(bytes: [0, 1])))
    }

    private static func code(_ action: WebSocketMessages.Action) -> WebSocketErrorCode? {
        if case .fail(let code, _) = action { code } else { nil }
    }

    @Test("RFC 6455 §5: what breaks the rules of frames ends the connection with the code for it")
    func broken() {
        let cases: [([WebSocketFrame], WebSocketErrorCode)] = [
            ([Self.frame(.text, [0x61])], .unacceptableData),
            ([Self.frame(.binary, [0, 1], masked: false)], .protocolError),
            ([Self.frame(.ping, [], masked: false)], .protocolError),
            ([Self.frame(.continuation, [0, 1])], .protocolError),
            ([Self.frame(.binary, [0], fin: false), Self.frame(.binary, [1])], .protocolError),
            ([Self.frame(WebSocketOpcode(encodedWebSocketOpcode: 3) ?? .text, [])], .protocolError),
            (
                [Self.frame(.binary, [UInt8](repeating: 0, count: 4000), fin: false)]
                    + [Self.frame(.continuation, [UInt8](repeating: 0, count: 97))], .messageTooLarge
            ),
            (
                [Self.frame(.binary, [], fin: false)]
                    + [WebSocketFrame](repeating: Self.frame(.continuation, [], fin: false), count: 1024),
                .policyViolation
            ),
        ]
        for (frames, code) in cases {
            var messages = Self.messages()
            let actions = frames.map { messages.received($0) }
            #expect(actions.last.flatMap(Self.code) == code)
            #expect(actions.dropLast().allSatisfy { $0 == .nothing })
        }
        var extended = Self.frame(.binary, [0, 1])
        extended.rsv1 = true
        var messages = Self.messages()
        #expect(Self.code(messages.received(extended)) == .protocolError)
        var client = WebSocketMessages(role: .client, limits: FrameLimits())
        #expect(Self.code(client.received(Self.frame(.binary, [0, 1]))) == .protocolError)
    }

    @Test("A Close is answered with its own code, or as nothing said if it has none")
    func closing() {
        var messages = Self.messages()
        #expect(messages.received(Self.frame(.connectionClose, [0x03, 0xE9])) == .closing(.goingAway))
        messages = Self.messages()
        #expect(messages.received(Self.frame(.connectionClose, [])) == .closing(nil))
        messages = Self.messages()
        #expect(messages.received(Self.frame(.connectionClose, [0x03])) == .closing(nil))
    }
}
