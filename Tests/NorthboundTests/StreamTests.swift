import CBOR
import Cloud
import CoAP
import NIOCore
import Synchronization
import TestSupport
import Testing

@testable import Northbound

@Suite("Observing over HTTP", .timeLimit(.minutes(2)))
struct ObservationStreamTests {
    static let stream = ["Authorization: Bearer alice-user", "Accept: text/event-stream"]

    static func light(_ state: Bool) -> CoAP.Response {
        var response = CoAP.Response(.content, payload: DataItem.map(["state": .boolean(state)]).encoded())
        response.options.contentFormat = .ocfCBOR
        return response
    }

    @Test("RFC 7641 §3.1: the device gets a GET with Observe 0, and each notification becomes an event of JSON")
    func notifications() async throws {
        try await Server.run { server async throws in
            server.devices.makeObservable()
            server.devices.answer(Self.light(false))
            try await Peer.connect(server.port) { peer async throws in
                let answer = try await peer.request("GET", "/lamp/light", Self.stream)
                #expect(answer.status == 200)
                #expect(answer.fields["content-type"] == "text/event-stream")
                #expect(answer.fields["cache-control"] == "no-store")
                #expect(answer.fields["content-length"] == nil)
                #expect(try await peer.event() == ["event": "notification", "data": #"{"state":false}"#])
                let request = try #require(server.devices.requests.first)
                #expect(request.method == .get)
                #expect(request.options.observe == 0)
                #expect(request.options.fence?.uid == "alice")
                #expect(request.options.accept == .ocfCBOR)
                server.devices.tell(.notified(Self.light(true)))
                #expect(try await peer.event() == ["event": "notification", "data": #"{"state":true}"#])
                server.devices.tell(.notified(CoAP.Response(.content, payload: ByteBuffer(string: "on\noff"))))
                let text = try await peer.event()
                #expect(
                    text["data"] == #"{"status":200,"type":"text/plain;charset=utf-8","text":"on\noff"}"#, "\(text)")
            }
            try await eventually("the observation is withdrawn") { server.devices.observations == 0 }
            try await eventually("the place is given back") { server.responder.streams.count == 0 }
        }
    }

    @Test("RFC 7641 §4.1: a resource that cannot be observed is told once, with the reason; the connection serves on")
    func notObservable() async throws {
        try await Server.run { server async throws in
            server.devices.answer(Self.light(true))
            try await Peer.connect(server.port) { peer async throws in
                #expect(try await peer.request("GET", "/lamp/light", Self.stream).status == 200)
                #expect(try await peer.event()["data"] == #"{"state":true}"#)
                let end = try await peer.event()
                #expect(end["event"] == "end")
                #expect(end["data"]?.contains("/errors#not-observable") == true)
                await #expect(throws: Peer.Ended.self) { try await peer.event() }
                #expect(try await peer.request("GET", "/devices", Self.stream).status == 200)
            }
        }
    }

    @Test(
        "What goes wrong before the first notification is an ordinary answer",
        arguments: [
            ("/oven/light", 403, "not-yours"), ("/nothing/light", 404, "unknown-device"),
            ("/fridge/light", 503, "offline"), ("/lamp/light", 404, "device-answer"),
        ])
    func errors(path: String, status: Int, slug: String) async throws {
        try await Server.run { server async throws in
            server.devices.makeObservable()
            server.devices.answer(CoAP.Response(.notFound, diagnostic: "no such light"))
            try await Peer.connect(server.port) { peer async throws in
                let answer = try await peer.request("GET", path, Self.stream)
                #expect(answer.status == status)
                #expect(answer.slug == slug)
            }
            #expect(server.responder.streams.count == 0)
        }
    }

    @Test("A device that does not answer is 504 at the deadline, and holds no place")
    func late() async throws {
        try await Server.run { server async throws in
            server.devices.script { _, _ in }
            try await Peer.connect(server.port) { peer async throws in
                let answer = try await peer.request("GET", "/lamp/light", Self.stream + ["Prefer: wait=1"])
                #expect(answer.status == 504)
            }
            #expect(server.responder.streams.count == 0)
        }
    }

    @Test("The end of an observation is told with its reason: the device's own, or ours")
    func ends() async throws {
        try await Server.run { server async throws in
            server.devices.makeObservable()
            server.devices.answer(Self.light(false))
            var gone = CoAP.Response(.serviceUnavailable)
            gone.options.undelivered = .noSession
            var signedOut = CoAP.Response(.serviceUnavailable)
            signedOut.options.undelivered = .signedOut
            for (end, slug) in [
                (CoAP.Response(.notFound), "device-answer"), (gone, "offline"), (signedOut, "signed-out"),
            ] {
                try await Peer.connect(server.port) { peer async throws in
                    _ = try await peer.request("GET", "/lamp/light", Self.stream)
                    _ = try await peer.event()
                    server.devices.tell(.ended(end))
                    let event = try await peer.event()
                    #expect(event["event"] == "end")
                    #expect(event["data"]?.contains("/errors#\(slug)") == true, "\(event)")
                    await #expect(throws: Peer.Ended.self) { try await peer.event() }
                }
            }
        }
    }

    @Test("BI-60: of many notifications that were not written yet only the newest is kept, and the end behind it")
    func coalescing() async throws {
        let mailbox = StreamMailbox()
        for _ in 0..<10_000 { mailbox.put(.notified(Self.light(false))) }
        mailbox.put(.notified(Self.light(true)))
        mailbox.put(.ended(CoAP.Response(.notFound)))
        mailbox.put(.notified(Self.light(false)))
        _ = mailbox.beat()
        // Before what is new, however fast it comes: with it the token is looked at.
        #expect(await mailbox.next() == .heartbeat)
        #expect(await mailbox.next() == .notified(Self.light(true)))
        #expect(await mailbox.next() == .ended(CoAP.Response(.notFound)))
    }

    @Test("BI-60: a writer is busy until it waits for the first time, so that who never reads is dropped too")
    func busyFromTheStart() async throws {
        let mailbox = StreamMailbox()
        #expect(mailbox.beat() != nil)
        #expect(await mailbox.next() == .heartbeat)
        async let waiting = mailbox.next()
        try await eventually("it waits") { mailbox.beat().map { $0 < .milliseconds(5) } ?? true }
        #expect(await waiting == .heartbeat)
    }

    @Test("RFC 9110 §9.3.2: HEAD has the head of the stream of a resource, and observes nothing")
    func head() async throws {
        try await Server.run { server async throws in
            server.devices.makeObservable()
            server.devices.answer(Self.light(false))
            let field = ["Accept: text/event-stream"]
            let answer = try await server.request("HEAD", "/lamp/light", token: "alice-user", field)
            #expect(answer.status == 200)
            #expect(answer.fields["content-type"] == "text/event-stream")
            #expect(server.devices.observations == 0)
            #expect(try await server.request("HEAD", "/fridge/light", token: "alice-user", field).status == 503)
        }
    }

    @Test("BI-60: who does not read what was written is dropped")
    func slowReader() async throws {
        let configuration = NorthboundConfiguration(
            port: 0, streamHeartbeat: .milliseconds(50), streamPatience: .milliseconds(300))
        try await Server.run(configuration) { server async throws in
            server.devices.makeObservable()
            server.devices.answer(Self.light(false))
            try await Peer.connect(server.port) { peer async throws in
                _ = try await peer.request("GET", "/lamp/light", Self.stream)
                let large = CoAP.Response(
                    .content, payload: ByteBuffer(string: String(repeating: "x", count: 1 << 20)))
                try await eventually("dropped") {
                    server.devices.tell(.notified(large))
                    return server.devices.observations == 0
                }
                try await eventually("no place is left") { server.responder.streams.count == 0 }
            }
        }
    }

    @Test("Streams are bounded: 429 beyond those of an owner, 503 beyond all, and a place that is free serves again")
    func limits() async throws {
        let configuration = NorthboundConfiguration(port: 0, maximumStreams: 3, maximumStreamsPerOwner: 2)
        try await Server.run(configuration) { server async throws in
            let stream = ["Accept: text/event-stream"]
            try await Peer.connect(server.port) { one async throws in
                #expect(try await one.request("GET", "/events", Self.stream).status == 200)
                try await Peer.connect(server.port) { two async throws in
                    #expect(try await two.request("GET", "/events", Self.stream).status == 200)
                    let third = try await server.request("GET", "/events", token: "alice-client", stream)
                    #expect(third.status == 429)
                    #expect(third.slug == "too-many-streams")
                    try await Peer.connect(server.port) { three async throws in
                        let bob = ["Authorization: Bearer bob-user"]
                        #expect(try await three.request("GET", "/events", bob).status == 200)
                        #expect(try await server.request("GET", "/events", token: "bob-user").status == 503)
                    }
                }
                try await eventually("places are given back") { server.responder.streams.count == 1 }
                #expect(try await server.request("GET", "/events", token: "alice-client").status == 200)
            }
        }
    }

    @Test("BI-64: a stream ends when its token is good no more: at once when told, else at the next heartbeat")
    func revoked() async throws {
        let configuration = NorthboundConfiguration(port: 0, streamHeartbeat: .milliseconds(100))
        for isTold in [true, false] {
            try await Server.run(isTold ? NorthboundConfiguration(port: 0) : configuration) { server async throws in
                try await Peer.connect(server.port) { peer async throws in
                    let field = ["Authorization: Bearer alice-client"]
                    #expect(try await peer.request("GET", "/events", field).status == 200)
                    #expect(try await peer.event()["event"] == "ready")
                    if isTold {
                        let answer = try await server.request("DELETE", "/clients/alice-phone", token: "alice-user")
                        #expect(answer.status == 204)
                    } else {
                        server.registry.state.withLock { $0.principals["alice-client"] = nil }
                    }
                    let end = try await peer.event()
                    #expect(end["event"] == "end")
                    #expect(end["data"]?.contains("/errors#unauthorized") == true)
                }
            }
        }
    }

    @Test("A change in the change log ends the streams of whom it names, and no others")
    func changes() async throws {
        let streams = OpenStreams(maximum: 9, maximumPerOwner: 9)
        func principal(_ kind: Principal.Kind, _ uid: String, _ di: String?) -> Principal {
            Principal(
                kind: kind, uid: UserID(stored: uid), di: di.map { DeviceID(stored: $0) }, expiresAt: nil,
                family: di.map { FamilyID(stored: "family of \($0)") })
        }
        let user = try streams.enter(principal(.user, "alice", nil))
        let phone = try streams.enter(principal(.client, "alice", "phone"))
        let tablet = try streams.enter(principal(.client, "alice", "tablet"))
        let bob = try streams.enter(principal(.user, "bob", nil))
        func end(_ kind: Change.Kind, _ subject: String) {
            streams.end(Change(sequence: 1, kind: kind, subject: subject, at: Timestamp(milliseconds: 0)))
        }
        end(.client, "phone")
        #expect(await phone.mailbox.next() == .over(.unauthorized))
        end(.family, "family of tablet")
        #expect(await tablet.mailbox.next() == .over(.unauthorized))
        user.mailbox.putNews()
        #expect(await user.mailbox.next() == .news)
        end(.user, "alice")
        #expect(await user.mailbox.next() == .over(.unauthorized))
        bob.mailbox.putNews()
        #expect(await bob.mailbox.next() == .news)
        #expect(streams.count == 4)
    }
}
