import NIOCore
import Testing

@testable import CoAPTransport

@Suite("PROXY protocol: the header alone")
struct ProxyHeaderTests {
    private static func line(_ text: String) -> [UInt8] { Array(text.utf8) }

    /// A header of version 2: signature, command, family, length, rest.
    static func binary(_ command: UInt8, _ family: UInt8, _ rest: [UInt8], length: Int? = nil) -> [UInt8] {
        let count = length ?? rest.count
        return FirstBytes.proxySignature + [0x20 | command, family, UInt8(count >> 8), UInt8(count & 0xFF)] + rest
    }

    private static let v4: [UInt8] = [192, 0, 2, 7, 198, 51, 100, 1, 0x30, 0x39, 0x16, 0x34]
    private static let v6: [UInt8] =
        [0x20, 0x01, 0x0D, 0xB8] + [UInt8](repeating: 0, count: 11) + [7]
        + [0x20, 0x01, 0x0D, 0xB8] + [UInt8](repeating: 0, count: 11) + [1] + [0x30, 0x39, 0x16, 0x34]

    private static func read(_ bytes: [UInt8]) throws -> (header: ProxyHeader?, left: Int) {
        var buffer = ByteBuffer(bytes: bytes)
        let header = try ProxyHeader(readingFrom: &buffer)
        return (header, buffer.readableBytes)
    }

    @Test(
        "Both versions, both families: who connects and what was dialled",
        arguments: [
            (line("PROXY TCP4 192.0.2.7 198.51.100.1 12345 5684\r\n"), "192.0.2.7:12345", "198.51.100.1:5684"),
            (line("PROXY TCP6 2001:db8::7 2001:db8::1 12345 5684\r\n"), "[2001:db8::7]:12345", "[2001:db8::1]:5684"),
            (binary(1, 0x11, v4), "192.0.2.7:12345", "198.51.100.1:5684"),
            (binary(1, 0x11, v4 + [0x04, 0, 2, 9, 9]), "192.0.2.7:12345", "198.51.100.1:5684"),
            (binary(1, 0x21, v6), "[2001:db8::7]:12345", "[2001:db8::1]:5684"),
            (line("PROXY UNKNOWN\r\n"), nil, nil),
            (line("PROXY UNKNOWN ffff::1 whatever 1 2\r\n"), nil, nil),
            (binary(0, 0x00, []), nil, nil),
            (binary(0, 0x11, v4), nil, nil),
            (binary(1, 0x00, []), nil, nil),
            (binary(1, 0x31, [UInt8](repeating: 0, count: 216)), nil, nil),
        ] as [([UInt8], String?, String?)])
    func headers(_ bytes: [UInt8], source: String?, destination: String?) throws {
        let (header, left) = try Self.read(bytes + [1, 2, 3])
        #expect(header?.source?.hostAndPort == source)
        #expect(header?.destination?.hostAndPort == destination)
        #expect(header != nil)
        #expect(left == 3)
        // Cut anywhere, it waits for the rest and takes nothing.
        for cut in 0..<bytes.count {
            let (early, untouched) = try Self.read(Array(bytes.prefix(cut)))
            #expect(early == nil)
            #expect(untouched == cut)
        }
    }

    @Test(
        "BI-50: a bad header is refused, as soon as it can be told",
        arguments: [
            line("PROXY TCP4 192.0.2.7 198.51.100.1 12345\r\n"),
            line("PROXY TCP4 192.0.2.7 198.51.100.1 12345 5684 \r\n"),
            line("PROXY TCP4  192.0.2.7 198.51.100.1 12345 5684\r\n"),
            line("PROXY TCP4 2001:db8::7 198.51.100.1 12345 5684\r\n"),
            line("PROXY TCP4 192.0.2.7 198.51.100.1 012345 5684\r\n"),
            line("PROXY TCP4 192.0.2.7 198.51.100.1 65536 5684\r\n"),
            line("PROXY TCP4 192.0.2.7 198.51.100.1 +1 5684\r\n"),
            line("PROXY TCP4 example.org 198.51.100.1 1 5684\r\n"),
            line("PROXY TCP6 fe80::1%lo 2001:db8::1 1 5684\r\n"),
            line("PROXY UDP4 192.0.2.7 198.51.100.1 12345 5684\r\n"),
            line("PROXY TCP4 192.0.2.7 198.51.100.1 12345 5684\n"),
            line("PROXY " + String(repeating: "x", count: 101)),
            line("PROXZ"), line("GET / HTTP/1.1"), [0x16, 3, 1], [0],
            Array(FirstBytes.proxySignature.prefix(11)) + [0x0B],
            FirstBytes.proxySignature + [0x11], FirstBytes.proxySignature + [0x22],
            FirstBytes.proxySignature + [0x21, 0x12], FirstBytes.proxySignature + [0x21, 0x41],
            // Shorter than its addresses, longer than we take, an extension past the end, one without a length.
            binary(1, 0x11, v4, length: 11), binary(1, 0x21, v4, length: 12), binary(1, 0x11, v4, length: 2049),
            binary(1, 0x11, v4 + [0x04, 0, 3, 9, 9]), binary(1, 0x11, v4 + [0x04, 0]),
            binary(1, 0x11, v4 + [0x04, 0xFF, 0xFF, 9]),
        ] as [[UInt8]])
    func bad(_ bytes: [UInt8]) {
        #expect(throws: ProxyHeaderError.self) { try Self.read(bytes) }
    }

    @Test("Never more than a line of 107 bytes, or 2064 bytes, is waited for")
    func bounds() throws {
        let longest = "PROXY UNKNOWN " + String(repeating: "f", count: 91) + "\r\n"
        #expect(longest.utf8.count == 107)
        #expect(try Self.read(Array(longest.utf8)).header == ProxyHeader())
        let extensions: [UInt8] = [0x04, 0x07, 0xF1] + [UInt8](repeating: 0, count: 2033)
        #expect(try Self.read(Self.binary(1, 0x11, Self.v4 + extensions)).header != nil)
    }

    @Test("Sources: addresses and networks of both families; IPv4 within IPv6 is IPv4")
    func sources() throws {
        let sources = try #require(ProxySources(["10.1.0.0/16", "192.0.2.7", "fd00::/9", "203.0.113.64/26"]))
        func contains(_ text: String) throws -> Bool {
            sources.contains(try SocketAddress(ipAddress: text, port: 1))
        }
        for text in ["10.1.255.3", "192.0.2.7", "fd7f::1", "::ffff:10.1.2.3", "203.0.113.127"] {
            #expect(try contains(text), "\(text)")
        }
        for text in ["10.2.0.1", "192.0.2.8", "fd80::1", "::ffff:10.2.0.1", "203.0.113.128", "::1"] {
            #expect(try !contains(text), "\(text)")
        }
        #expect(try ProxySources(["0.0.0.0/0"])?.contains(SocketAddress(ipAddress: "8.8.8.8", port: 1)) == true)
        #expect(try !ProxySources().contains(SocketAddress(ipAddress: "8.8.8.8", port: 1)))
        #expect(try !sources.contains(SocketAddress(unixDomainSocketPath: "/x")))
        for text in ["", "10.0.0.0/33", "10.0.0.0/", "10.0.0.0/8/8", "10.0.0.0/-1", "host", "fe80::1%lo", "10.0.0/8"] {
            #expect(ProxySources([text]) == nil, "\(text)")
        }
        #expect(ProxySources([String](repeating: "10.0.0.1", count: 65)) == nil)
    }
}
