import NIOCore

/// Looks into the first TLS record of a client: which protocols it offers (RFC 7301 §3.1), whether it was here before.
///
/// Whoever offers protocols and `coap` is not among them means another service: it is refused (RFC 7301 §3.2). The TLS
/// library goes on without any in that case. A client that offers none is served, as devices do.
enum ClientHello {
    static let ourProtocol = "coap"

    /// Whether the client offers protocols, and ours is none of them. False if it cannot be told from what is there.
    static func offersOnlyOthers(_ record: ByteBuffer) -> Bool {
        guard let hello = Self.extensions(of: record)?.first(where: { $0.type == Self.protocolNegotiation }) else {
            return false
        }
        return !Self.offersOurs(hello.data)
    }

    /// Whether the client offers to resume a session: a key of an earlier one (RFC 8446 §4.2.11), or a ticket (RFC 5077
    /// §3.2) that is not empty. Whether that is good only TLS can tell.
    static func resumes(_ record: ByteBuffer) -> Bool {
        Self.extensions(of: record)?.contains {
            $0.type == Self.preSharedKey || ($0.type == Self.sessionTicket && $0.data.readableBytes > 0)
        } ?? false
    }

    /// A record with its header (RFC 8446 §5.1).
    static let maximumRecord = 5 + (1 << 14)

    /// Whether the whole first record is there, or it is none that TLS would take.
    static func isWhole(_ record: ByteBuffer) -> Bool {
        guard let length: UInt16 = record.getInteger(at: record.readerIndex + 3) else { return false }
        return record.readableBytes >= min(5 + Int(length), Self.maximumRecord)
    }

    /// Nil if it is no ClientHello, or none that is all there.
    private static func extensions(of record: ByteBuffer) -> [(type: UInt16, data: ByteBuffer)]? {
        var record = record
        // Record header; handshake header, version and random (RFC 8446 §5.1, §4.1.2).
        guard record.readInteger(as: UInt8.self) == 0x16, record.readSlice(length: 4) != nil,
            record.readInteger(as: UInt8.self) == 1, record.readSlice(length: 3 + 2 + 32) != nil,
            record.readVector(as: UInt8.self) != nil,  // session id
            record.readVector(as: UInt16.self) != nil,  // cipher suites
            record.readVector(as: UInt8.self) != nil,  // compression methods
            var extensions = record.readVector(as: UInt16.self)
        else { return nil }
        var found: [(type: UInt16, data: ByteBuffer)] = []
        while let type = extensions.readInteger(as: UInt16.self), let data = extensions.readVector(as: UInt16.self) {
            found.append((type, data))
        }
        return found
    }

    /// application_layer_protocol_negotiation (RFC 7301 §6).
    private static let protocolNegotiation: UInt16 = 16
    private static let sessionTicket: UInt16 = 35
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

extension ByteBuffer {
    /// What a length of this kind stands before. Nil if it is not all there.
    fileprivate mutating func readVector<Length: FixedWidthInteger>(as: Length.Type) -> ByteBuffer? {
        self.readInteger(as: Length.self).flatMap { self.readSlice(length: Int($0)) }
    }
}
