import CBOR
import Cloud
import CoAP
import NIOCore
import OCF
import Synchronization
import Testing

@testable import Northbound

@Suite("The session of the older gateway", .timeLimit(.minutes(1)))
struct SessionTests {
    /// What `curl -d` says of every body.
    private static let form = "Content-Type: application/x-www-form-urlencoded"

    @Test("Registration to the device's answer, word for word, all of it 200")
    func session() async throws {
        try await Server.run { server async throws in
            server.registry.state.withLock { $0.users = [] }
            let user = try await server.request(
                "POST", "/register/user", [Self.form], body: #"{"uid":"alice","authprovider":"test"}"#)
            #expect(user.status == 200)
            #expect(user.fields["content-type"] == "application/json")
            let userToken = try #require(user.json?["accesstoken"]?.string)

            let mediator = try await server.request(
                "POST", "/provision/mediator", [Self.form], body: #"{"uid":"alice","accesstoken":"\#(userToken)"}"#)
            #expect(mediator.status == 200)
            let mediatorToken = try #require(mediator.json?["accesstoken"]?.string)

            let device = try await server.request(
                "POST", "/provision/device", ["Authorization: Bearer \(mediatorToken)", Self.form],
                body: #"{"di":"OCF-cloud-device-test-uuid"}"#)
            #expect(device.status == 200)
            #expect(device.json?["accesstoken"]?.string?.isEmpty == false)

            let client = try await server.request(
                "POST", "/provision/client", ["Authorization: \(mediatorToken)", Self.form], body: #"{"di":"app-1"}"#)
            #expect(client.status == 200)
            let code = try #require(client.json?["accesstoken"]?.string)

            let account = try await server.request(
                "POST", "/oic/sec/account", [Self.form],
                body: #"{"uid":"alice","di":"app-1","accesstoken":"\#(code)"}"#)
            #expect(account.status == 200)
            #expect(account.json?["uid"] == "alice")
            #expect(account.json?["expiresin"] == 6000)
            let clientToken = try #require(account.json?["accesstoken"]?.string)
            let refreshToken = try #require(account.json?["refreshtoken"]?.string)

            let refreshed = try await server.request(
                "POST", "/oic/sec/tokenrefresh", [Self.form],
                body: #"{"uid":"alice","di":"app-1","refreshtoken":"\#(refreshToken)"}"#)
            #expect(refreshed.status == 200)
            #expect(refreshed.json?["accesstoken"]?.string?.isEmpty == false)
            #expect(refreshed.json?["refreshtoken"]?.string?.isEmpty == false)

            let text = "test response payload from device"
            var options = Options()
            options.contentFormat = .ocfCBOR
            server.devices.answer(CoAP.Response(.valid, options: options, payload: ByteBuffer(string: text)))
            let answer = try await server.request(
                "POST", "/lamp/myhref", token: clientToken, [Self.form], body: "test request payload")
            #expect(answer.status == 200)
            #expect(answer.body == text)
            let request = try #require(server.devices.requests.last)
            #expect(request.options.path == ["lamp", "myhref"])
            #expect(request.payload.map { String(buffer: $0) } == "test request payload")
        }
    }

    @Test("A duplicate user is 409 with a hint how to go on")
    func duplicate() async throws {
        try await Server.run { server async throws in
            let answer = try await server.request("POST", "/register/user", body: #"{"uid":"alice"}"#)
            #expect(answer.status == 409)
            #expect(answer.slug == "user-exists")
            #expect(answer.json?["field"] == "uid")
            #expect(answer.json?["detail"]?.string?.contains("DELETE /users/") == true)
        }
    }

    @Test("REGISTRATION=closed is 403 with a hint, and nothing is asked or read")
    func closed() async throws {
        try await Server.run(NorthboundConfiguration(port: 0, registration: .closed)) { server async throws in
            let answer = try await server.request("POST", "/register/user", body: "not even JSON")
            #expect(answer.status == 403)
            #expect(answer.slug == "registration-closed")
            #expect(answer.json?["detail"]?.string?.contains("REGISTRATION=open") == true)
            #expect(server.registry.calls.isEmpty)
        }
    }

    @Test("Registrations of one address are limited: 429 with Retry-After, and again after a second")
    func registrationLimit() async throws {
        let clock = MovableClock()
        try await Server.run(NorthboundConfiguration(port: 0, registrationBurst: 2), clock: clock) {
            server async throws in
            for name in ["u1", "u2"] {
                #expect(try await server.request("POST", "/register/user", body: #"{"uid":"\#(name)"}"#).status == 200)
            }
            let answer = try await server.request("POST", "/register/user", body: #"{"uid":"u3"}"#)
            #expect(answer.status == 429)
            #expect(answer.fields["retry-after"] == "1")
            clock.advance(milliseconds: 1000)
            #expect(try await server.request("POST", "/register/user", body: #"{"uid":"u3"}"#).status == 200)
        }
    }

    @Test(
        "BI-31: a body that is not one JSON object is 400, and nothing is changed",
        arguments: [
            "", "null", "[]", "\"uid\"", "{\"uid\":\"x\"} trailing", "\u{FEFF}{\"uid\":\"x\"}", "{\"uid\":\"\\ud800\"}",
            "{\"uid\":1e999}", "{/* */\"uid\":\"x\"}", "{\"uid\":\"x\",\"uid\":\"y\"}", "uid=x",
            "{\"\(String(repeating: "k", count: 200_000))\":1}", String(repeating: "[", count: 100_000),
        ])
    func notJSON(body: String) async throws {
        try await Server.run { server async throws in
            let answer = try await server.request(
                "POST", "/register/user", ["Content-Type: application/json"], body: body)
            #expect(answer.status == 400)
            #expect(answer.slug == "bad-body")
            #expect(server.registry.changes.isEmpty)
        }
    }

    @Test(
        "A missing field, one of the wrong type and one that breaks the id rule are 400 and named",
        arguments: [
            ("/register/user", #"{}"#, "uid"), ("/register/user", #"{"uid":""}"#, "uid"),
            ("/register/user", #"{"uid":7}"#, "uid"), ("/register/user", #"{"uid":"a/b"}"#, "uid"),
            ("/register/user", #"{"uid":"devices"}"#, "uid"),
            ("/register/user", #"{"uid":"x","authprovider":1}"#, "authprovider"),
            ("/provision/mediator", #"{"uid":"alice"}"#, "accesstoken"),
            ("/provision/device", #"{"di":7}"#, "di"), ("/provision/client", #"{"di":"a b"}"#, "di"),
            ("/oic/sec/account", #"{"accesstoken":"x"}"#, "di"), ("/oic/sec/account", #"{"di":"x"}"#, "accesstoken"),
            ("/oic/sec/tokenrefresh", #"{"uid":"alice","di":"x"}"#, "refreshtoken"),
            ("/oic/sec/tokenrefresh", #"{"di":"x","refreshtoken":"x"}"#, "uid"),
        ])
    func fields(path: String, body: String, field: String) async throws {
        try await Server.run { server async throws in
            let answer = try await server.request("POST", path, token: "alice-mediator", body: body)
            #expect(answer.status == 400)
            #expect(answer.slug == "bad-field")
            #expect(answer.json?["field"]?.string == field)
            #expect(server.registry.changes.isEmpty)
        }
    }

    @Test("A code nobody issued is 401 with WWW-Authenticate; the registry's own words are the detail")
    func wrongCode() async throws {
        try await Server.run { server async throws in
            let answer = try await server.request(
                "POST", "/oic/sec/account", body: #"{"di":"x","accesstoken":"nonsense"}"#)
            #expect(answer.status == 401)
            #expect(answer.fields["www-authenticate"] == "Bearer")
            #expect(answer.json?["detail"] == "The code is unknown.")
        }
    }

    @Test("A registry that cannot answer is 503 with Retry-After everywhere, never 401")
    func unavailable() async throws {
        try await Server.run { server async throws in
            server.registry.fail(RegistryError(.serviceUnavailable, "the store is down", retryAfter: .seconds(3)))
            let requests = [
                ("POST", "/register/user", #"{"uid":"x"}"#), ("GET", "/devices", ""), ("GET", "/lamp/light", ""),
                ("POST", "/oic/sec/account", #"{"di":"x","accesstoken":"code-1"}"#),
            ]
            for (method, path, body) in requests {
                let answer = try await server.request(method, path, token: "alice-client", body: body)
                #expect(answer.status == 503, "\(path)")
                #expect(answer.slug == "unavailable", "\(path)")
                #expect(answer.fields["retry-after"] == "3", "\(path)")
            }
            #expect(server.devices.requests.isEmpty)
        }
    }
}
