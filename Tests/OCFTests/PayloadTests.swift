import CBOR
import Cloud
import CoAP
import NIOCore
import OCF
import Testing

@Suite("Payloads as the asking side writes them")
struct PayloadTests {
    private func secret(_ text: String) throws -> Secret {
        try #require(Secret(text))
    }

    @Test("What one side writes the other reads")
    func roundTrips() throws {
        let uid = try UserID("u-1")
        let di = try DeviceID("d-1")
        let signUp = SignUpRequest(di: di, accessToken: try self.secret("code"), authProvider: "p", uid: "u-1")
        #expect(try SignUpRequest(signUp.item) == signUp)
        let credentials = Credentials(
            accessToken: try self.secret("a"), refreshToken: try self.secret("r"), expiresIn: -1, uid: uid)
        for redirect in [nil, "", "coap+tcp://h:1"] as [String?] {
            let answer = SignUpResponse(credentials, redirectURI: redirect)
            #expect(try SignUpResponse(answer.item) == answer)
        }
        for session in [
            .signIn(uid: uid, di: di, accessToken: try self.secret("a")),
            .signOut(uid: nil, di: nil, accessToken: nil),
            .signOut(uid: uid, di: di, accessToken: try self.secret("a")),
        ] as [SessionRequest] {
            #expect(try SessionRequest(session.item) == session)
        }
        for seconds in [-1, 0, 3600] {
            #expect(try SessionResponse(SessionResponse(expiresIn: seconds).item).expiresIn == seconds)
        }
        let refresh = RefreshRequest(uid: uid, di: di, refreshToken: try self.secret("r"))
        #expect(try RefreshRequest(refresh.item) == refresh)
        #expect(try RefreshResponse(RefreshResponse(credentials).item) == RefreshResponse(credentials))
        for principal in [
            Principal(kind: .user, uid: uid, di: nil, expiresAt: nil),
            Principal(
                kind: .device, uid: uid, di: di, expiresAt: Timestamp(milliseconds: 5), family: FamilyID(stored: "f")),
        ] {
            #expect(try Principal(principal.item) == principal)
        }
        let device = Device(di: di, uid: uid, kind: .client, name: "n", createdAt: Timestamp(milliseconds: 7))
        #expect(try Device(device.item) == device)
        #expect(try Deletion(Deletion([di]).item).devices == [di])
    }

    @Test(
        "BI-30: an expiresin that is no integer of 64 bits is refused, a negative one kept",
        arguments: [
            DataItem.text("3600"), .float(3600), .unsigned(1 << 63), .negative(1 << 63), .null, .boolean(true),
        ])
    func expiresIn(_ value: DataItem) throws {
        let item: DataItem = ["accesstoken": "a", "refreshtoken": "r", "expiresin": value, "uid": "u"]
        let error = #expect(throws: PayloadError.self) { try SignUpResponse(item) }
        #expect(error?.field == "expiresin")
        #expect(throws: PayloadError.self) { try SessionResponse(["expiresin": value]) }
    }

    @Test("An error names the field and says what is taken, without the value")
    func errorTexts() throws {
        let error = #expect(throws: PayloadError.self) {
            try SignUpRequest(["di": "d", "accesstoken": ["very-secret"]])
        }
        #expect(error?.message == "accesstoken is an array: send a text")
        #expect(error?.field == "accesstoken")
        #expect(error?.code == .badRequest)
        let list = #expect(throws: PayloadError.self) { try SignUpRequest([]) }
        #expect(list?.message == "the payload is an array: send a map")
    }

    @Test("OCF Core: a request carries Accept, 2049 and, with a payload, Content-Format and 2053")
    func requestOptions() throws {
        let empty = Request(ocf: .get, path: OCFPath.discovery, queries: ["rt=a"])
        #expect(empty.options.accept == .ocfCBOR)
        #expect(empty.options.ocfAcceptVersion == .v1_0_0)
        #expect(!empty.options.contains(.contentFormat))
        #expect(!empty.options.contains(.ocfContentFormatVersion))
        let full = Request(ocf: .post, path: OCFPath.session, item: [:])
        #expect(full.options.contentFormat == .ocfCBOR)
        #expect(full.options.ocfVersion == .v1_0_0)
        #expect(try Negotiation.payload(of: full) == [:])
    }

    @Test("A response is read by its Content-Format, and refused without one")
    func responseItem() throws {
        var response = Response(.content, payload: DataItem.map(["a": 1]).encoded())
        #expect(throws: PayloadError.self) { try response.item() }
        response.options.contentFormat = .cbor
        #expect(try response.item() == ["a": 1])
        response.options.contentFormat = .json
        #expect(throws: PayloadError.self) { try response.item() }
        response.payload = ByteBuffer(string: "{\"a\":1}")
        #expect(try response.item() == ["a": 1])
        #expect(try Response(.changed).item() == nil)
    }
}

@Suite("RegistryClient against a scripted registry")
struct RegistryClientTests {
    private struct Scripted: Responder {
        let answer: @Sendable (Request) -> Response

        func respond(to request: Request, answer: @escaping @Sendable (Response) -> Void) {
            answer(self.answer(request))
        }
    }

    private func error(_ answer: @escaping @Sendable (Request) -> Response) async throws -> RegistryError? {
        let client = RegistryClient(Scripted(answer: answer))
        do throws(RegistryError) {
            _ = try await client.device(
                DeviceID(stored: "d"), call: .init(requestID: "r", deadline: .milliseconds(1500)))
            return nil
        } catch {
            return error
        }
    }

    @Test("A call carries who asks, the request id and the rest of the deadline")
    func options() async throws {
        let error = try await self.error { request in
            #expect(request.options.caller == "northbound")
            #expect(request.options.requestID == "r")
            #expect(request.options.deadlineMilliseconds == 1500)
            #expect(request.options.path == ["registry", "devices", "d"])
            #expect(request.options.sessionUser == nil)
            return Response(.serviceUnavailable, diagnostic: "no", maxAge: 7)
        }
        #expect(error == RegistryError(.serviceUnavailable, "no", retryAfter: .seconds(7)))
    }

    @Test("Undelivered and the field at fault come through; an answer that makes no sense is 5.02")
    func errors() async throws {
        let late = try await self.error { _ in
            var response = Response(.serviceUnavailable, diagnostic: "late", maxAge: 1)
            response.options.undelivered = .late
            response.options.errorField = "di"
            return response
        }
        #expect(late?.undelivered == .late)
        #expect(late?.field == "di")
        for answer in [
            Response(.content), Response(.content, payload: ByteBuffer(bytes: [0xA0])),
            Negotiation.ocf.response(.content, [:]), Negotiation.ocf.response(.content, ["di": "d", "uid": 1]),
        ] {
            #expect(try await self.error { _ in answer }?.code == .badGateway)
        }
        #expect(try await self.error { _ in Response(.changed) }?.code == .badGateway)
        #expect(try await self.error { _ in Response(.notFound) } == nil)
    }
}
