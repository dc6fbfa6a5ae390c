import NIOCore

/// Looks into the first TLS record of a client for the protocols it offers (RFC 7301 §3.1).
///
/// Whoever offers protocols and `coap` is not among them means another service: it is refused (RFC 7301 §3.2). The TLS
/// library goes on without any in that case. A client that offers none is served, as devices do.
enum ClientHello {
    static let ourProtocol = "coap"

    /// Whether the client offers protocols, and ours is none of them. False if it cannot be told from what is there.
    static func offersOnlyOthers(_ record: ByteBuffer) -> Bool {
        var record = record
        // Record header; handshake header, version and random (RFC 8446 §5.1, §4.1.2).
        guard record.readInteger(as: UInt8.self) == 0x16, record.readSlice(length: 4) != nil,
            record.readInteger(as: UInt8.self) == 1, record.readSlice(length: 3 + 2 + 32) != nil,
            record.readVector(as: UInt8.self) != nil,  // session id
            record.readVector(as: UInt16.self) != nil,  // cipher suites
            record.readVector(as: UInt8.self) != nil,  // compression methods
            var extensions = record.readVector(as: UInt16.self)
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

extension ByteBuffer {
    /// What a length of this kind stands before. Nil if it is not all there.
    fileprivate mutating func readVector<Length: FixedWidthInteger>(as: Length.Type) -> ByteBuffer? {
        self.readInteger(as: Length.self).flatMap { self.readSlice(length: Int($0)) }
    }
}
