import NIOCore

/// Looks into the first message of a TLS client for the protocols it offers (RFC 7301 §3.1).
///
/// Whoever offers protocols and `coap` is not among them means another service: it is refused (RFC 7301 §3.2). The TLS
/// library goes on without any in that case. A client that offers none is served, as devices do.
enum ClientHello {
    static let ourProtocol = "coap"

    /// Whether the client offers protocols, and ours is none of them. False if it cannot be told from what is there.
    /// - Parameter message: the whole handshake message, without the headers of records.
    static func offersOnlyOthers(_ message: ByteBuffer) -> Bool {
        var message = message
        // Handshake header, version and random (RFC 8446 §4, §4.1.2).
        guard message.readInteger(as: UInt8.self) == 1, message.readSlice(length: 3 + 2 + 32) != nil,
            message.readVector(as: UInt8.self) != nil,  // session id
            message.readVector(as: UInt16.self) != nil,  // cipher suites
            message.readVector(as: UInt8.self) != nil,  // compression methods
            var extensions = message.readVector(as: UInt16.self)
        else { return false }
        while let type = extensions.readInteger(as: UInt16.self), let data = extensions.readVector(as: UInt16.self) {
            if type == Self.protocolNegotiation { return !Self.offersOurs(data) }
        }
        return false
    }

    /// application_layer_protocol_negotiation (RFC 7301 §6).
    private static let protocolNegotiation: UInt16 = 16

    private static func offersOurs(_ data: ByteBuffer) -> Bool {
        var data = data
        guard var names = data.readVector(as: UInt16.self) else { return true }
        while let name = names.readVector(as: UInt8.self) {
            if name.readableBytesView.elementsEqual(Self.ourProtocol.utf8) { return true }
        }
        return false
    }
}

/// Puts a ClientHello together from however many segments and records it comes in. It changes no byte: whatever is no
/// ClientHello, or too large for one, is the TLS library's to refuse.
struct ClientHelloReader {
    /// Of records and their headers together, in bytes. Those of today, with post-quantum keys, have 2000.
    static let limit = 16_384

    enum Verdict: Hashable {
        /// It is not all there yet.
        case wait
        case serve
        case onlyOtherProtocols
        /// Larger than the limit, and still not all there.
        case tooLarge
    }

    private static let headerLength = 5
    /// Where in the bytes the record begins that was not read yet.
    private var recordStart = 0
    /// Of the handshake message.
    private var message = ByteBuffer()

    /// - Parameter held: everything that has come so far.
    mutating func read(_ held: ByteBuffer) -> Verdict {
        while true {
            let start = held.readerIndex + self.recordStart
            // RFC 8446 §5.1: type, version, length.
            guard let type = held.getInteger(at: start, as: UInt8.self) else { return Self.rest(held) }
            guard type == 0x16 else { return .serve }
            guard let length = held.getInteger(at: start + 3, as: UInt16.self),
                let record = held.getSlice(at: start + Self.headerLength, length: Int(length))
            else { return Self.rest(held) }
            self.message.writeImmutableBuffer(record)
            self.recordStart += Self.headerLength + Int(length)
            // RFC 8446 §4: type, length of 24 bits.
            guard let head = self.message.getInteger(at: 0, as: UInt32.self) else { continue }
            let whole = 4 + Int(head & 0xFF_FFFF)
            guard head >> 24 == 1, whole <= Self.limit else { return .serve }
            if let message = self.message.getSlice(at: 0, length: whole) {
                return ClientHello.offersOnlyOthers(message) ? .onlyOtherProtocols : .serve
            }
        }
    }

    private static func rest(_ held: ByteBuffer) -> Verdict {
        held.readableBytes > Self.limit ? .tooLarge : .wait
    }
}

extension ByteBuffer {
    /// What a length of this kind stands before. Nil if it is not all there.
    fileprivate mutating func readVector<Length: FixedWidthInteger>(as: Length.Type) -> ByteBuffer? {
        self.readInteger(as: Length.self).flatMap { self.readSlice(length: Int($0)) }
    }
}
