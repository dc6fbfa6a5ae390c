import CoAPTransport
import MockDevice
import Testing

@Suite("Addresses")
struct ServerAddressTests {
    @Test(
        "every form of address is read",
        arguments: [
            ("127.0.0.1:5683", "127.0.0.1", 5683),
            ("cloud.example", "cloud.example", 5683),
            ("cloud.example:1", "cloud.example", 1),
            ("  cloud.example:65535 ", "cloud.example", 65535),
            ("[::1]:5684", "::1", 5684),
            ("[fe80::1]", "fe80::1", 5683),
            ("coap+tcp://host:7000", "host", 7000),
            ("COAP+TCP://host/", "host", 5683),
            ("coap+tcp://[2001:db8::1]:7", "2001:db8::1", 7),
        ])
    func forms(text: String, host: String, port: Int) throws {
        #expect(try ServerAddress(parsing: text) == ServerAddress(host: host, port: port))
    }

    @Test(
        "what is no address says why and what to write",
        arguments: [
            ("", AddressError.Code.noHost), (":5683", .noHost), ("coap+tcp://", .noHost), ("[]:1", .noHost),
            ("host:0", .port("0")), ("host:65536", .port("65536")), ("host:", .port("")), ("host:+1", .port("+1")),
            ("host:99999999999999999999", .port("99999999999999999999")),
            ("::1", .bareIPv6), ("[::1", .bracket), ("[::1]5683", .bracket),
            ("coap://host", .scheme("coap")), ("http://host:8080", .scheme("http")),
            ("ho st", .character), ("host/path", .character), ("host\u{1B}[2J", .character),
            (String(repeating: "a", count: 301), .tooLong),
        ])
    func refusals(text: String, code: AddressError.Code) {
        do throws(AddressError) {
            let address = try ServerAddress(parsing: text)
            Issue.record("taken for \(address)")
        } catch {
            #expect(error.code == code)
            #expect(error.description.hasSuffix("Write HOST, HOST:PORT, [IPV6]:PORT or coap+tcp://HOST:PORT."))
            #expect(!error.description.contains("\u{1B}"))
        }
    }

    @Test(
        "each scheme has its port",
        arguments: [
            ("coaps+tcp://host", ServerAddress.Scheme.tls, 5684), ("COAPS+TCP://host:1", .tls, 1),
            ("coap+ws://host", .webSocket, 80), ("coaps+ws://host/", .secureWebSocket, 443), ("host", .tcp, 5683),
        ])
    func schemes(text: String, scheme: ServerAddress.Scheme, port: Int) throws {
        #expect(try ServerAddress(parsing: text) == ServerAddress(scheme, host: "host", port: port))
    }

    @Test(
        "an address is written as it can be read again",
        arguments: ["h:1", "[::1]:5683", "coaps+tcp://h:5684", "coap+ws://[::1]:80"])
    func description(text: String) throws {
        #expect(try ServerAddress(parsing: text).description == text)
    }
}
