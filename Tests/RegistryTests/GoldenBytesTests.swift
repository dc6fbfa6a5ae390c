import CBOR
import Cloud
import CoAP
import NIOCore
import OCF
import Testing

/// What a reference device sent, and the answers it accepted, byte for byte.
@Suite("Recorded messages of a reference device")
struct GoldenBytesTests {
    private func message(_ hexadecimal: String) throws -> Message {
        var buffer = ByteBuffer(bytes: bytes(hexadecimal))
        let message = try Message(readingFrameFrom: &buffer, limits: FrameLimits())
        #expect(buffer.readableBytes == 0)
        return try #require(message)
    }

    private func request(_ hexadecimal: String) throws -> (Request, Token) {
        let message = try self.message(hexadecimal)
        return (Request(message.code, options: message.options, payload: message.payload), message.token)
    }

    private func frame(_ response: Response, _ token: Token) -> [UInt8] {
        var buffer = ByteBuffer()
        Message(code: response.code, token: token, options: response.options, payload: response.payload)
            .writeFrame(into: &buffer)
        return Array(buffer.readableBytesView)
    }

    @Test("Sign-up: the recorded request is understood, the recorded answer is ours")
    func signUp() throws {
        let (request, token) = try self.request(
            "d8790205339908000480a2b36f696303736563076163636f756e74122710522710e206e30800420800ffbf6264697824623931303737"
                + "36362d623034352d343964312d363665352d6531626137373132613732636c6175746870726f766964657264706c67646b6163"
                + "63657373746f6b656e6b61757468636f64653132336a6465766963657479706566646576696365ff")
        #expect(request.options.path == OCFPath.account)
        let asked = try SignUpRequest(Negotiation.payload(of: request))
        #expect(asked.di.text == "b9107766-b045-49d1-66e5-e1ba7712a72c")
        #expect(asked.authProvider == "plgd")
        #expect(asked.accessToken.reveal() == "authcode123")
        let answer = SignUpResponse(
            Credentials(
                accessToken: try #require(Secret("at-1")), refreshToken: try #require(Secret("rt-1")), expiresIn: 3600,
                uid: try UserID("u-1")),
            redirectURI: "")
        #expect(
            try self.frame(Negotiation(request).response(.changed, answer.item), token)
                == bytes(
                    "d8424405339908000480a2c22710e206ec0800ffa56b616363657373746f6b656e6461742d316c72656672657368746f6b65"
                        + "6e6472742d316965787069726573696e190e106375696463752d316b726564697265637475726960"))
    }

    @Test("Sign-in: the recorded request is understood, the recorded answer is ours")
    func signIn() throws {
        let (request, token) = try self.request(
            "d85d022d70b1e41309eafab36f6963037365630773657373696f6e122710522710e206e30800420800ffbf6375696463752d31626469"
                + "782462393130373736362d623034352d343964312d363665352d6531626137373132613732636b616363657373746f6b656e64"
                + "61742d31656c6f67696ef5ff")
        #expect(request.options.path == OCFPath.session)
        #expect(
            try SessionRequest(Negotiation.payload(of: request))
                == .signIn(
                    uid: UserID("u-1"), di: DeviceID("b9107766-b045-49d1-66e5-e1ba7712a72c"),
                    accessToken: #require(Secret("at-1"))))
        #expect(
            try self.frame(Negotiation(request).response(.changed, SessionResponse(expiresIn: 3600).item), token)
                == bytes("d80a442d70b1e41309eafac22710e206ec0800ffa16965787069726573696e190e10"))
    }

    @Test("Refresh: the recorded request is understood")
    func refresh() throws {
        let (request, _) = try self.request(
            "d88602909d410ddb735e87b36f6963037365630c746f6b656e72656672657368122710522710e206e30800420800ffbf637569646375"
                + "2d31626469782430386537653338352d313562652d343166332d363337332d6437336630386538633937336c6175746870726f"
                + "766964657264706c6764696772616e74747970656d726566726573685f746f6b656e6c72656672657368746f6b656e6472742d"
                + "31ff")
        #expect(request.options.path == OCFPath.tokenRefresh)
        let asked = try RefreshRequest(Negotiation.payload(of: request))
        #expect(asked.uid.text == "u-1")
        #expect(asked.di.text == "08e7e385-15be-41f3-6373-d73f08e8c973")
        #expect(asked.refreshToken.reveal() == "rt-1")
    }

    @Test("Publish: the recorded request is understood, the recorded answer is ours")
    func publish() throws {
        let (request, token) = try self.request(
            "d8bc027133a47edb22d4ffb36f69630272641227103d0272743d6f69632e776b2e7264707562222710e206e30800420800ffbf626469"
                + "782462376165666237382d393935392d343161342d346132662d626666613437623739393166616e6264356374746c00656c69"
                + "6e6b739fbf64687265666b2f73776974636865732f316272749f736f69632e722e7377697463682e62696e617279ff6269669f"
                + "686f69632e69662e616f6f69632e69662e626173656c696e65ff6372656c65686f73747363696e731a496630936170bf62626d"
                + "03ffffffff")
        #expect(request.options.path == OCFPath.directory)
        #expect(request.options.queries == ["rt=oic.wk.rdpub"])
        let publication = try Publication(Negotiation.payload(of: request))
        #expect(publication.di.text == "b7aefb78-9959-41a4-4a2f-bffa47b7991f")
        #expect(publication.name == "d5")
        #expect(publication.ttl == nil)
        let link = try #require(publication.links.first)
        #expect(publication.links.count == 1)
        #expect(link.href == "/switches/1")
        #expect(link.resourceTypes == ["oic.r.switch.binary"])
        #expect(link.interfaces == ["oic.if.a", "oic.if.baseline"])
        #expect(link.policy == [.discoverable, .observable])
        #expect(try DataItem(decoding: ByteBuffer(bytes: link.attributes)) == ["rel": "hosts"])
        #expect(
            try self.frame(Negotiation(request).response(.changed, publication.answer(ins: [6])), token)
                == bytes(
                    "d894447133a47edb22d4ffc22710e206ec0800ffa4626469782462376165666237382d393935392d343161342d346132662d"
                        + "626666613437623739393166616e6264356374746c00656c696e6b7381a664687265666b2f73776974636865732f31"
                        + "62727481736f69632e722e7377697463682e62696e61727962696682686f69632e69662e616f6f69632e69662e6261"
                        + "73656c696e656372656c65686f73747363696e73066170a162626d03"))
    }

    @Test("Unpublish: the recorded request is understood, the recorded answer is ours")
    func unpublish() throws {
        let (request, token) = try self.request(
            "d8310434f398e0987497d7b36f69630272644d1a64693d62376165666237382d393935392d343161342d346132662d62666661343762"
                + "373939316605696e733d36222710e206e30800")
        #expect(request.method == .delete)
        let unpublication = try Unpublication(request.options)
        #expect(unpublication.di.text == "b7aefb78-9959-41a4-4a2f-bffa47b7991f")
        #expect(unpublication.ins == [6])
        #expect(self.frame(Response(.deleted), token) == bytes("084234f398e0987497d7"))
    }

    @Test("Discovery: the recorded request is understood")
    func discover() throws {
        let (request, _) = try self.request("d80301b6f58e700433e0e6b36f696303726573622710e206e30800")
        #expect(request.options.path == OCFPath.discovery)
        #expect(try DiscoveryRequest(request.options) == DiscoveryRequest())
        let negotiation = try Negotiation(request)
        #expect(negotiation.format == .ocfCBOR)
        #expect(negotiation.carriesVersion)
    }
}
