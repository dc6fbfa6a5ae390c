import NIOCore

/// What the first message of a TLS client says of it (RFC 8446 §4.1.2).
struct ClientHello: Hashable {
    static let ourProtocol = "coap"

    /// It offers protocols, and ours is none of them (RFC 7301 §3.1).
    ///
    /// That means another service: it is refused (RFC 7301 §3.2). The TLS library goes on without any in that case. A
    /// client that offers none is served, as devices do.
    var offersOnlyOthers = false
    /// It offers to resume a session: a key of an earlier one (RFC 8446 §4.2.11), or a ticket (RFC 5077 §3.2) that is
    /// not empty. Whether that is good only TLS can tell.
    var resumes = false

    /// Nothing is known of it.
    init(offersOnlyOthers: Bool = false, resumes: Bool = false) {
        self.offersOnlyOthers = offersOnlyOthers
        self.resumes = resumes
    }

    /// - Parameter message: the whole handshake message, without the headers of records.
    init(_ message: ByteBuffer) {
        var message = message
        // Handshake header, version and random (RFC 8446 §4, §4.1.2).
        guard message.readInteger(as: UInt8.self) == 1, message.readSlice(length: 3 + 2 + 32) != nil,
            message.readVector(as: UInt8.self) != nil,  // session id
            message.readVector(as: UInt16.self) != nil,  // cipher suites
            message.readVector(as: UInt8.self) != nil,  // compression methods
            var extensions = message.readVector(as: UInt16.self)
        else { return }
        while let type = extensions.readInteger(as: UInt16.self), let data = extensions.readVector(as: UInt16.self) {
            switch type {
            case Self.protocolNegotiation: self.offersOnlyOthers = !Self.offersOurs(data)
            case Self.preSharedKey: self.resumes = true
            case Self.sessionTicket where data.readableBytes > 0: self.resumes = true
            default: break
            }
        }
    }

    /// application_layer_protocol_negotiation (RFC 7301 §6).
    private static let protocolNegotiation: UInt16 = 16
    /// RFC 5077 §3.2.
    private static let sessionTicket: UInt16 = 35
    /// RFC 8446 §4.2.
    private static let preSharedKey: UInt16 = 41

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
        /// It is all there, or it is none, of which nothing is known.
        case whole(ClientHello)
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
            guard type == 0x16 else { return .whole(ClientHello()) }
            guard let length = held.getInteger(at: start + 3, as: UInt16.self),
                let record = held.getSlice(at: start + Self.headerLength, length: Int(length))
            else { return Self.rest(held) }
            self.message.writeImmutableBuffer(record)
            self.recordStart += Self.headerLength + Int(length)
            // RFC 8446 §4: type, length of 24 bits.
            guard let head = self.message.getInteger(at: 0, as: UInt32.self) else { continue }
            let whole = 4 + Int(head & 0xFF_FFFF)
            guard head >> 24 == 1, whole <= Self.limit else { return .whole(ClientHello()) }
            if let message = self.message.getSlice(at: 0, length: whole) { return .whole(ClientHello(message)) }
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
