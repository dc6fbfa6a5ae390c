import NIOCore

/// What a proxy in front of us says about the connection it passes on: PROXY protocol, versions 1 and 2
/// (haproxy/doc/proxy-protocol.txt).
struct ProxyHeader: Hashable, Sendable {
    /// Who connected to the proxy; nil if it does not know, or connects on its own behalf.
    var source: SocketAddress?
    /// What that peer dialled.
    var destination: SocketAddress?
}

/// Why the first bytes are no PROXY header.
enum ProxyHeaderError: Error, Hashable {
    case missing
    case version1(String)
    case version2(String)
}

extension ProxyHeaderError: CustomStringConvertible {
    var description: String {
        switch self {
        case .missing: "no PROXY header, although the address is one of PROXY_PROTOCOL_FROM"
        case .version1(let what): "PROXY header version 1: \(what)"
        case .version2(let what): "PROXY header version 2: \(what)"
        }
    }
}

extension ProxyHeader {
    /// A line with its end (§2.1).
    static let maximumLine = 107
    /// After the fixed part, in version 2. Unspecified: addresses and the TLVs that are in use take a few hundred.
    static let maximumExtension = 2048

    /// Takes a header from the front of `buffer`. Nil, with `buffer` as it was, when more bytes are needed.
    init?(readingFrom buffer: inout ByteBuffer) throws(ProxyHeaderError) {
        let bytes = buffer.readableBytesView
        if bytes.prefix(6).elementsEqual("PROXY ".utf8.prefix(bytes.count)) {
            try self.init(readingLineFrom: &buffer)
        } else if bytes.prefix(12).elementsEqual(FirstBytes.proxySignature.prefix(bytes.count)) {
            try self.init(readingBinaryFrom: &buffer)
        } else {
            throw .missing
        }
    }

    // MARK: Version 1

    private init?(readingLineFrom buffer: inout ByteBuffer) throws(ProxyHeaderError) {
        let view = buffer.readableBytesView.prefix(Self.maximumLine)
        guard let end = view.firstIndex(of: UInt8(ascii: "\n")) else {
            guard view.count < Self.maximumLine else { throw .version1("it is longer than 107 bytes") }
            return nil
        }
        guard end > view.startIndex, view[end - 1] == UInt8(ascii: "\r") else {
            throw .version1("its line does not end with CR LF")
        }
        let line = String(decoding: view[..<(end - 1)], as: UTF8.self)
        let parts = line.split(separator: " ", omittingEmptySubsequences: false)
        if parts.count > 1, parts[1] == "UNKNOWN" {
            // Whatever else stands there is to be ignored (§2.1).
            self.init()
        } else {
            guard parts.count == 6 else { throw .version1("it does not have six parts") }
            self.init(
                source: try Self.address(parts[2], parts[4], family: parts[1]),
                destination: try Self.address(parts[3], parts[5], family: parts[1]))
        }
        buffer.moveReaderIndex(forwardBy: end - view.startIndex + 1)
    }

    private static func address(
        _ text: Substring, _ port: Substring, family: Substring
    ) throws(ProxyHeaderError) -> SocketAddress {
        guard family == "TCP4" || family == "TCP6" else { throw .version1("its family is neither TCP4 nor TCP6") }
        guard port.utf8.allSatisfy({ (UInt8(ascii: "0")...UInt8(ascii: "9")).contains($0) }),
            port == "0" || !port.hasPrefix("0"), let number = UInt16(port)
        else { throw .version1("a port is not a number from 0 to 65535") }
        let wanted: NIOBSDSocket.ProtocolFamily = family == "TCP4" ? .inet : .inet6
        guard !text.contains("%"), let address = try? SocketAddress(ipAddress: String(text), port: Int(number)),
            address.protocol == wanted
        else { throw .version1("an address is not one of its family") }
        return address
    }

    // MARK: Version 2

    private init?(readingBinaryFrom buffer: inout ByteBuffer) throws(ProxyHeaderError) {
        let start = buffer.readerIndex
        guard let version: UInt8 = buffer.getInteger(at: start + 12) else { return nil }
        guard version >> 4 == 2, version & 0xF <= 1 else {
            throw .version2("byte 13 is neither LOCAL nor PROXY of version 2")
        }
        guard let family: UInt8 = buffer.getInteger(at: start + 13) else { return nil }
        let addressLength = try Self.addressLength(family: family, isLocal: version & 0xF == 0)
        guard let length: UInt16 = buffer.getInteger(at: start + 14) else { return nil }
        guard Int(length) <= Self.maximumExtension else {
            throw .version2("\(length) bytes of addresses and extensions are more than \(Self.maximumExtension)")
        }
        guard Int(length) >= addressLength else { throw .version2("its length does not hold its addresses") }
        guard let rest = buffer.getSlice(at: start + 16, length: Int(length)) else { return nil }
        var addresses = rest
        self.init()
        if addressLength > 0 {
            try Self.checkExtensions(rest, from: addressLength)
            if addressLength != Self.unixLength {
                let size = addressLength / 2 - 2
                // Both are there, by the length that was compared above.
                let source = addresses.readSlice(length: size)
                let destination = addresses.readSlice(length: size)
                let ports = addresses.readMultipleIntegers(as: (UInt16, UInt16).self)
                guard let source, let destination, let ports else { throw .version2("it is cut short") }
                self.source = try? SocketAddress(packedIPAddress: source, port: Int(ports.0))
                self.destination = try? SocketAddress(packedIPAddress: destination, port: Int(ports.1))
            }
        }
        buffer.moveReaderIndex(forwardBy: 16 + Int(length))
    }

    /// Two paths of 108 bytes each (§2.2).
    private static let unixLength = 216

    private static func addressLength(family: UInt8, isLocal: Bool) throws(ProxyHeaderError) -> Int {
        // The proxy itself, looking whether we live: what it says of addresses is to be ignored (§2.2).
        guard !isLocal else { return 0 }
        switch family {
        case 0x00: return 0
        case 0x11: return 12
        case 0x21: return 36
        case 0x31: return Self.unixLength
        default: throw .version2("byte 14 is no family over TCP")
        }
    }

    /// Type, length, value, to the end and not past it (§2.2). None of them means anything to us.
    private static func checkExtensions(_ rest: ByteBuffer, from: Int) throws(ProxyHeaderError) {
        var at = rest.readerIndex + from
        let end = rest.writerIndex
        while at < end {
            guard let length: UInt16 = rest.getInteger(at: at + 1), at + 3 + Int(length) <= end else {
                throw .version2("an extension runs past the end of the header")
            }
            at += 3 + Int(length)
        }
    }
}
