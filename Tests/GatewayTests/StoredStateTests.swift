import CBOR
import CoAP
import TestSupport
import Testing

@Suite("What devices last said, read while they are offline")
struct StoredStateTests {
    private static func light(_ isOn: Bool) -> Response {
        var response = Response(.content, payload: DataItem.map(["state": .boolean(isOn)]).encoded())
        response.options.contentFormat = .ocfCBOR
        response.options.observe = 0
        return response
    }

    private static func stored(_ gateway: RunningGateway, _ token: String) async throws -> HTTPTestAnswer {
        try await gateway.http.get("/lamp/light?stored=true", token: token)
    }

    @Test("What a client observes is kept: the newest, with its age, for its owner only, until the device is deleted")
    func passive() async throws {
        try await RunningGateway.with { gateway in
            let owner = try await gateway.owner("alice")
            let stranger = try await gateway.owner("bob")
            let lamp = try await owner.device("lamp")
            let phone = try await owner.client("phone")
            #expect(try await Self.stored(gateway, owner.token).status == 504)
            var request = Request.ocf(.get, "lamp/light")
            request.options.observe = 0
            try await phone.peer.start(request)
            let registration = try await lamp.peer.receiveRequest(.get, "light")
            try await lamp.peer.answer(registration, Self.light(false))
            _ = try await phone.peer.receivePastCSM()
            try await lamp.peer.answer(registration, Self.light(true))
            _ = try await phone.peer.receivePastCSM()
            await lamp.peer.close()
            try await gateway.eventually("the newest state is stored") {
                try await Self.stored(gateway, owner.token).text == #"{"state":true}"#
            }
            let answer = try await gateway.http.request(
                "GET", "/lamp/light", token: owner.token, headers: [("Cache-Control", "only-if-cached")])
            #expect(answer.status == 200)
            #expect(answer.headers.first { $0.0.lowercased() == "age" }.flatMap { Int($0.1) } != nil)
            #expect(try await gateway.http.get("/lamp/light", token: owner.token).status == 503)
            #expect(try await gateway.http.get("/lamp/fan?stored=true", token: owner.token).status == 504)
            #expect(try await Self.stored(gateway, stranger.token).status == 403)
            #expect(try await gateway.http.request("DELETE", "/devices/lamp", token: owner.token).status == 204)
            #expect(try await Self.stored(gateway, owner.token).status == 404)
            // Who has the id next does not see what it said before.
            _ = try await stranger.device("lamp")
            #expect(try await Self.stored(gateway, stranger.token).status == 504)
        }
    }

    @Test("With STORED_STATE=observe the gateway observes what is discoverable and observable, and nothing else")
    func observing() async throws {
        try await RunningGateway.with(["STORED_STATE": "observe"]) { gateway in
            let owner = try await gateway.owner("alice")
            let lamp = try await owner.device("lamp")
            try await lamp.publish("/light")
            let registration = try await lamp.peer.receiveRequest(.get, "light")
            #expect(registration.options.observe == 0)
            try await lamp.peer.answer(registration, Self.light(true))
            try await gateway.eventually("its state is stored") {
                try await Self.stored(gateway, owner.token).text == #"{"state":true}"#
            }
            // A client shares that observation, and what is said goes to both.
            let phone = try await owner.client("phone")
            var request = Request.ocf(.get, "lamp/light")
            request.options.observe = 0
            try await phone.peer.start(request)
            #expect(try await phone.peer.receivePastCSM().item?["state"]?.flag == true)
            try await lamp.peer.expectSilence()
        }
    }

    @Test("With STORED_STATE=off nothing is kept")
    func off() async throws {
        try await RunningGateway.with(["STORED_STATE": "off"]) { gateway in
            let owner = try await gateway.owner("alice")
            _ = try await owner.device("lamp")
            let answer = try await Self.stored(gateway, owner.token)
            #expect(answer.status == 504)
            #expect(answer.text.contains("/errors#not-stored"))
        }
    }
}
