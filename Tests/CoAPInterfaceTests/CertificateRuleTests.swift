import CBOR
import Certificates
import CoAP
import CoAPTransport
import NIOCore
import TestSupport
import Testing

@testable import CoAPInterface

@Suite("Which device a certificate speaks for")
struct CertificateRuleTests {
    private static let uuid = "0685b960-736f-46f7-bec0-9e6cbd61adc1"
    private static let other = "11111111-736f-46f7-bec0-9e6cbd61adc1"
    private static let certificate = Self.certificate(Self.uuid)

    private static func certificate(_ uuid: String?) -> PeerCertificate {
        PeerCertificate(uuid: uuid, notAfter: 3)
    }

    private static func request(_ path: [String], di: String?) -> Request {
        var map: [DataItem.Pair] = [.init(.text("uid"), .text("u"))]
        if let di { map.append(.init(.text("di"), .text(di))) }
        return Request(.post, path: path, payload: DataItem.map(map).encoded())
    }

    private static let paths = [
        ["oic", "sec", "account"], ["oic", "sec", "session"], ["oic", "sec", "tokenrefresh"], ["oic", "account"],
    ]

    private static func code(
        _ request: Request, _ certificate: PeerCertificate? = certificate, session: String? = nil
    ) -> Code? {
        CertificateRule.refusal(of: request, certificate: certificate, session: session)?.code
    }

    @Test("C-50: account, session and tokenrefresh of another device than the certificate's are 4.01", arguments: paths)
    func payload(_ path: [String]) {
        #expect(Self.code(Self.request(path, di: Self.uuid)) == nil)
        #expect(Self.code(Self.request(path, di: Self.uuid.uppercased())) == nil)
        #expect(Self.code(Self.request(path, di: Self.other)) == .unauthorized)
        #expect(Self.code(Self.request(path, di: "")) == .unauthorized)
        #expect(Self.code(Self.request(path, di: Self.uuid), Self.certificate(nil)) == .unauthorized)
        // Without a certificate the token alone says who it is.
        #expect(Self.code(Self.request(path, di: Self.other), nil) == nil)
    }

    @Test("In JSON as in CBOR")
    func json() {
        for (di, code) in [(Self.uuid, nil), (Self.other, .unauthorized)] as [(String, Code?)] {
            var request = Request(
                .post, path: ["oic", "sec", "account"], payload: ByteBuffer(string: "{\"di\": \"\(di)\"}"))
            request.options.contentFormat = .json
            #expect(Self.code(request) == code)
        }
    }

    @Test("What names no device is about that of the session; without one the registry refuses it")
    func session() {
        let request = Self.request(["oic", "sec", "session"], di: nil)
        #expect(Self.code(request, session: Self.uuid) == nil)
        #expect(Self.code(request, session: Self.other) == .unauthorized)
        #expect(Self.code(request) == nil)
        #expect(Self.code(Request(.post, path: ["oic", "sec", "session"], payload: ByteBuffer(bytes: [0xFF]))) == nil)
    }

    @Test("A sign-off names its device in the query, in every way that a query may be written")
    func query() {
        func delete(_ queries: String...) -> Request {
            var request = Request(.delete, path: ["oic", "sec", "account"])
            for query in queries { request.options.append(.uriQuery, string: query) }
            return request
        }
        #expect(Self.code(delete("di=\(Self.uuid)", "accesstoken=x")) == nil)
        #expect(Self.code(delete("accesstoken=x&di=\(Self.uuid)")) == nil)
        for text in ["di=\(Self.other)", "accesstoken=x&di=\(Self.other)", "accesstoken=x;di=\(Self.other)"] {
            #expect(Self.code(delete(text)) == .unauthorized)
        }
        #expect(Self.code(delete("di=\(Self.uuid)", "di=\(Self.other)")) == .unauthorized)
        // It is one value, and another device.
        #expect(Self.code(delete("di=\(Self.uuid);x")) == .unauthorized)
        #expect(Self.code(delete(), session: Self.other) == .unauthorized)
        #expect(Self.code(delete(), session: Self.uuid) == nil)
        // The registry would look up whose the token is.
        #expect(Self.code(delete("uid=u", "accesstoken=x")) == .unauthorized)
        #expect(Self.code(delete("uid=u", "accesstoken=x"), nil) == nil)
    }

    @Test("Everything else goes by the session alone")
    func otherResources() {
        #expect(Self.code(Self.request(["oic", "rd"], di: Self.other)) == nil)
        #expect(Self.code(Self.request([Self.other, "light"], di: Self.other)) == nil)
    }
}

@Suite("Public endpoints")
struct PublicEndpointsTests {
    @Test("Each listener has its own; one without TLS may stand behind something that ends TLS")
    func endpoints() throws {
        let both = try #require(PublicEndpoints(["coap+tcp://a:1", "coaps+tcp://a:2"]))
        #expect(both.endpoint(for: .tcp) == "coap+tcp://a:1")
        #expect(both.endpoint(for: .tls) == "coaps+tcp://a:2")
        #expect(both.endpoint(for: .webSocket) == nil)
        let secure = try #require(PublicEndpoints(["coaps+tcp://a:2", "coaps+ws://a:3"]))
        #expect(secure.endpoint(for: .tcp) == "coaps+tcp://a:2")
        #expect(secure.endpoint(for: .webSocket) == "coaps+ws://a:3")
        #expect(PublicEndpoints(["coap+tcp://a:1"])?.endpoint(for: .tls) == nil)
        #expect(PublicEndpoints().first == nil)
        #expect(PublicEndpoints(["coap+tcp://a:1", "coap+tcp://b:1"]) == nil)
    }
}
