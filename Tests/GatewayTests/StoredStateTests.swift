import CBOR
import CoAP
import NIOCore
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

    // MARK: Who is observed, and how

    private static func batch(_ states: [(href: String, isOn: Bool)]) -> Response {
        let entries = states.map { href, isOn in
            DataItem.map(["href": .text(href), "rep": .map(["state": .boolean(isOn)])])
        }
        var response = Response(.content, payload: DataItem.array(entries).encoded())
        response.options.contentFormat = .ocfCBOR
        response.options.observe = 0
        return response
    }

    /// Publishes these links, and `/oic/res` with the batch interface.
    private static func publishBatch(_ device: SignedIn, _ hrefs: String...) async throws {
        let links = (["/oic/res"] + hrefs).map { href in
            DataItem.map([
                "href": .text(href), "rt": .array([.text("x.example.thing")]),
                "if": .array([.text("oic.if.ll"), .text("oic.if.b")]), "p": .map(["bm": .unsigned(3)]),
            ])
        }
        _ = try await device.peer.ask(
            .ocf(
                .post, "oic/rd", queries: ["rt=oic.wk.rdpub"],
                .map(["di": .text(device.di), "links": .array(links), "ttl": .unsigned(0)])))
    }

    private static func text(_ gateway: RunningGateway, _ path: String, _ owner: Owner) async throws -> String {
        let answer = try await gateway.http.get("/\(path)?stored=true", token: owner.token)
        return answer.status == 200 ? answer.text : "\(answer.status)"
    }

    @Test(
        "A device that offers the batch is observed once, and all of its states are there when it has left"
    )
    func batch() async throws {
        try await RunningGateway.with(["STORED_STATE": "observe"]) { gateway in
            let owner = try await gateway.owner("alice")
            let lamp = try await owner.device("lamp")
            try await Self.publishBatch(lamp, "/light", "/fan", "/door")
            let registration = try await lamp.peer.receiveGet("oic/res", observe: 0)
            #expect(registration.options.queries == ["if=oic.if.b"])
            let all = [("ocf://lamp/light", true), ("/fan", false), ("/door", false), ("ocf://other/light", false)]
            try await lamp.peer.answer(registration, Self.batch(all))
            // Only what has changed.
            try await lamp.peer.answer(registration, Self.batch([("/fan", true)]))
            try await gateway.eventually("the fan's state is stored") {
                try await Self.text(gateway, "lamp/fan", owner) == #"{"state":true}"#
            }
            // Another one who observes the batch is told of everything, not of what was said last.
            let phone = try await owner.client("phone")
            var request = Request.ocf(.get, "lamp/oic/res", queries: ["if=oic.if.b"])
            request.options.observe = 0
            try await phone.peer.start(request)
            try await lamp.peer.answer(try await lamp.peer.receiveGet("oic/res", observe: 0), Self.batch(all))
            #expect(try await phone.peer.receivePastCSM().item?.elements?.count == all.count)
            await lamp.peer.close()
            #expect(try await Self.text(gateway, "lamp/light", owner) == #"{"state":true}"#)
            #expect(try await Self.text(gateway, "lamp/door", owner) == #"{"state":false}"#)
            #expect(try await Self.text(gateway, "lamp/oic/res", owner) == "504")
        }
    }

    /// How a device will not have the batch observed.
    enum Refusal: Sendable, CaseIterable {
        case error, plain, list
    }

    @Test(
        "A device that refuses the batch, or answers it once, or with its list of links, is observed link by link",
        arguments: Refusal.allCases)
    func fallback(_ refusal: Refusal) async throws {
        try await RunningGateway.with(["STORED_STATE": "observe"]) { gateway in
            let owner = try await gateway.owner("alice")
            let lamp = try await owner.device("lamp")
            try await Self.publishBatch(lamp, "/light", "/fan")
            let registration = try await lamp.peer.receiveGet("oic/res", observe: 0)
            switch refusal {
            case .error:
                try await lamp.peer.answer(registration, Response(.badRequest))
            case .plain:
                var once = Self.batch([("/light", true)])
                once.options.observe = nil
                try await lamp.peer.answer(registration, once)
            case .list:
                var list = Response(
                    .content, payload: DataItem.array([.map(["href": .text("/light")])]).encoded())
                list.options.observe = 0
                try await lamp.peer.answer(registration, list)
                let end = try await lamp.peer.receiveGet("oic/res", observe: 1)
                list.options.observe = nil
                try await lamp.peer.answer(end, list)
            }
            // One at a time, in any order.
            for _ in 0..<3 {
                let request = try await lamp.peer.receivePastCSM()
                #expect(request.options.queries ?? [] == [] && request.options.observe == 0)
                try await lamp.peer.expectSilence()
                try await lamp.peer.answer(request, Self.light(request.options.path == ["fan"]))
            }
            try await lamp.peer.expectSilence()
            try await gateway.eventually("the fan's state is stored") {
                try await Self.text(gateway, "lamp/fan", owner) == #"{"state":true}"#
            }
        }
    }

    @Test("What a device answers once that will not be observed is kept, and one that is busy is asked again")
    func unwilling() async throws {
        try await RunningGateway.with(["STORED_STATE": "observe"]) { gateway in
            let owner = try await gateway.owner("alice")
            let lamp = try await owner.device("lamp")
            try await lamp.publish("/light")
            let first = try await lamp.peer.receiveGet("light", observe: 0)
            try await lamp.peer.answer(first, Response(.serviceUnavailable, diagnostic: "busy", maxAge: 1))
            var once = Self.light(true)
            once.options.observe = nil
            try await lamp.peer.answer(try await lamp.peer.receiveGet("light", observe: 0), once)
            try await gateway.eventually("its state is stored") {
                try await Self.stored(gateway, owner.token).text == #"{"state":true}"#
            }
            try await lamp.peer.expectSilence()
        }
    }

    @Test("What a device takes back is observed no more, and what it publishes again is observed again")
    func takenBack() async throws {
        try await RunningGateway.with(["STORED_STATE": "observe"]) { gateway in
            let owner = try await gateway.owner("alice")
            let lamp = try await owner.device("lamp")
            try await lamp.publish("/light")
            try await lamp.peer.answer(try await lamp.peer.receiveGet("light", observe: 0), Self.light(true))
            #expect(try await lamp.peer.ask(.ocf(.delete, "oic/rd", queries: ["di=lamp"])).code == .deleted)
            let end = try await lamp.peer.receiveGet("light", observe: 1)
            try await lamp.peer.answer(end, Response(.content))
            try await lamp.publish("/light")
            _ = try await lamp.peer.receiveGet("light", observe: 0)
        }
    }

    // MARK: How it is asked for

    @Test(
        "RFC 9111 §5.2.1: HEAD, max-age, Accept and letters of any size are honoured, and not what only looks like it")
    func negotiation() async throws {
        try await RunningGateway.with(["STORED_STATE": "observe"]) { gateway in
            let owner = try await gateway.owner("alice")
            let lamp = try await owner.device("lamp")
            try await lamp.publish("/light")
            try await lamp.peer.answer(try await lamp.peer.receiveGet("light", observe: 0), Self.light(true))
            try await gateway.eventually("its state is stored") {
                try await Self.stored(gateway, owner.token).status == 200
            }
            await lamp.peer.close()
            func ask(_ method: String = "GET", _ headers: (String, String)...) async throws -> HTTPTestAnswer {
                try await gateway.http.request(method, "/lamp/light", token: owner.token, headers: headers)
            }
            let head = try await ask("HEAD", ("Cache-Control", "Only-If-Cached"))
            #expect(head.status == 200 && head.text == "")
            #expect(head.headers.contains { $0.0.lowercased() == "age" })
            #expect(try await ask("GET", ("Cache-Control", "max-age=600, only-if-cached")).status == 200)
            #expect(try await ask("GET", ("Cache-Control", "x-only-if-cached")).status == 503)
            try await gateway.eventually("it is older than a second") {
                try await ask("GET", ("Cache-Control", "only-if-cached, max-age=0")).status == 504
            }
            let cbor = try await ask(
                "GET", ("Cache-Control", "only-if-cached"), ("Accept", "application/vnd.ocf+cbor"))
            #expect(cbor.headers.contains { $0.1 == "application/vnd.ocf+cbor" })
            let stream = try await ask("GET", ("Cache-Control", "only-if-cached"), ("Accept", "text/event-stream"))
            #expect(stream.status == 406)
            #expect(try await gateway.http.request("POST", "/lamp/light?stored=true", token: owner.token).status == 503)
        }
    }

    @Test("Who has the name of a deleted user does not see what that one's devices said")
    func reusedName() async throws {
        try await RunningGateway.with { gateway in
            let owner = try await gateway.owner("alice")
            let lamp = try await owner.device("lamp")
            let phone = try await owner.client("phone")
            var request = Request.ocf(.get, "lamp/light")
            request.options.observe = 0
            try await phone.peer.start(request)
            try await lamp.peer.answer(try await lamp.peer.receiveRequest(.get, "light"), Self.light(true))
            try await gateway.eventually("its state is stored") {
                try await Self.stored(gateway, owner.token).status == 200
            }
            #expect(try await gateway.http.request("DELETE", "/users/alice", token: owner.token).status == 204)
            #expect(try await Self.stored(gateway, owner.token).status == 401)
            let next = try await gateway.owner("alice")
            _ = try await next.device("lamp")
            #expect(try await Self.stored(gateway, next.token).status == 504)
        }
    }
}
