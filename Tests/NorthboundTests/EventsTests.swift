import CBOR
import Cloud
import NIOCore
import ServiceLifecycle
import Synchronization
import TestSupport
import Testing

@testable import Northbound

/// A log that can be away.
private final class MoodyLog: EventHistory {
    let base = InMemoryEventLog(clock: SystemWallClock())
    let isAway = Mutex(false)
    let refused = Mutex(0)

    private func check() throws(RouteStoreUnavailable) {
        guard self.isAway.withLock({ $0 }) else { return }
        self.refused.withLock { $0 += 1 }
        throw RouteStoreUnavailable(reason: "away")
    }

    func append(_ event: OwnerEvent, of uid: UserID) { self.base.append(event, of: uid) }
    func forget(_ uid: UserID) { self.base.forget(uid) }

    func last(of uid: UserID) async throws(RouteStoreUnavailable) -> EventLogID {
        try self.check()
        return try await self.base.last(of: uid)
    }

    func read(of uid: UserID, after place: EventLogID, limit: Int) async throws(RouteStoreUnavailable) -> EventPage {
        try self.check()
        return try await self.base.read(of: uid, after: place, limit: limit)
    }
}

/// A log that grows faster than anybody reads.
private final class EndlessLog: EventHistory {
    func append(_ event: OwnerEvent, of uid: UserID) {}
    func forget(_ uid: UserID) {}
    func last(of uid: UserID) async throws(RouteStoreUnavailable) -> EventLogID { .start }

    func read(of uid: UserID, after place: EventLogID, limit: Int) async throws(RouteStoreUnavailable) -> EventPage {
        let event = OwnerEvent(kind: .linksPublished, di: nil, at: Timestamp(milliseconds: 0), text: "")
        return EventPage(events: [LoggedEvent(id: place.next.text, event: event)], gap: false, last: place.next)
    }
}

@Suite("The stream of an owner's events", .timeLimit(.minutes(2)))
struct EventsTests {
    private static let alice = UserID(stored: "alice")
    private static let field = ["Authorization: Bearer alice-user"]

    private static func append(_ number: Int, to log: any EventHistory, of uid: UserID = Self.alice) {
        log.append(
            OwnerEvent(
                kind: .linksPublished, di: DeviceID(stored: "lamp"), at: Timestamp(milliseconds: Int64(number)),
                text: "event \(number)"),
            of: uid)
    }

    private static func text(_ event: [String: String]) throws -> String? {
        let data = try #require(event["data"])
        let item = try #require(Peer.Answer(status: 200, fields: [:], body: data).json)
        return item["text"]?.string
    }

    @Test("It begins with where the reader is, and tells each event with id, kind, device, time and words")
    func events() async throws {
        try await Server.run { server async throws in
            Self.append(1, to: server.events)
            try await Peer.connect(server.port) { peer async throws in
                #expect(try await peer.request("GET", "/events", Self.field).status == 200)
                let ready = try await peer.event()
                #expect(ready["event"] == "ready")
                #expect(ready["id"]?.hasSuffix("-1") == true)
                Self.append(2, to: server.events)
                Self.append(99, to: server.events, of: UserID(stored: "bob"))
                Self.append(3, to: server.events)
                let event = try await peer.event()
                #expect(event["event"] == "links.published")
                #expect(event["id"]?.hasSuffix("-2") == true)
                #expect(
                    event["data"] == #"{"di":"lamp","at":"1970-01-01T00:00:00Z","text":"event 2"}"#, "\(event)")
                #expect(try Self.text(try await peer.event()) == "event 3")
            }
        }
    }

    @Test("A stream that was half read from one northbound is read on from another, without gap or double")
    func resumed() async throws {
        let log = InMemoryEventLog(clock: SystemWallClock())
        var seen: [String] = []
        var last: String?
        for round in 0..<4 {
            (seen, last) = try await Server.run(events: log) { [seen, last] server async throws in
                var (seen, last) = (seen, last)
                for number in 0..<150 { Self.append(round * 1000 + number, to: log) }
                try await Peer.connect(server.port) { peer async throws in
                    let fields = last.map { ["Last-Event-ID: \($0)"] } ?? []
                    let path = last == nil ? "/events?after=0-0" : "/events"
                    _ = try await peer.request("GET", path, Self.field + fields)
                    #expect(try await peer.event()["event"] == "ready")
                    for _ in 0..<100 {
                        let event = try await peer.event()
                        // The very first place is none of this log's.
                        if event["event"] == "gap", seen.isEmpty { continue }
                        seen.append(try #require(try Self.text(event)))
                        last = event["id"]
                    }
                }
                return (seen, last)
            }
        }
        let expected = (0..<4).flatMap { round in (0..<150).map { "event \(round * 1000 + $0)" } }
        #expect(seen.count >= 399)
        #expect(seen == Array(expected.prefix(seen.count)))
    }

    @Test(
        "A hole is told: an id that is too old, of another log, or none at all",
        arguments: ["1-1", "99999999999999-7", "nonsense", "-", "1-1-1", "1-18446744073709551615"])
    func gaps(id: String) async throws {
        let log = InMemoryEventLog(clock: SystemWallClock(), perOwner: 5)
        for number in 1...9 { Self.append(number, to: log) }
        try await Server.run(events: log) { server async throws in
            for path in ["/events", "/events?after=\(id)"] {
                try await Peer.connect(server.port) { peer async throws in
                    let fields = path == "/events" ? ["Last-Event-ID: \(id)"] : []
                    _ = try await peer.request("GET", path, Self.field + fields)
                    #expect(try await peer.event()["event"] == "ready")
                    let event = try await peer.event()
                    #expect(event["event"] == "gap")
                    #expect(EventLogID(event["id"] ?? "") != nil)
                    if id.hasPrefix("1-1"), id != "1-1-1" {
                        // What is left comes behind it.
                        for number in 5...9 { #expect(try Self.text(try await peer.event()) == "event \(number)") }
                    } else {
                        Self.append(10, to: log)
                        #expect(try Self.text(try await peer.event()) == "event 10")
                    }
                }
            }
        }
    }

    @Test("BI-64: a stream with always more to say ends all the same when its token is good no more")
    func endless() async throws {
        let configuration = NorthboundConfiguration(port: 0, streamHeartbeat: .milliseconds(50))
        try await Server.run(configuration, events: EndlessLog()) { server async throws in
            try await Peer.connect(server.port) { peer async throws in
                #expect(try await peer.request("GET", "/events", Self.field).status == 200)
                #expect(try await peer.event()["event"] == "ready")
                server.registry.state.withLock { $0.principals["alice-user"] = nil }
                var event = try await peer.event()
                while event["event"] != "end" { event = try await peer.event() }
                #expect(event["data"]?.contains("/errors#unauthorized") == true)
            }
        }
    }

    @Test("While the log is away the stream stays, and tells what it missed when the log is back")
    func away() async throws {
        let log = MoodyLog()
        let configuration = NorthboundConfiguration(port: 0, eventPeriod: .milliseconds(50))
        try await Server.run(configuration, events: log) { server async throws in
            try await Peer.connect(server.port) { peer async throws in
                #expect(try await peer.request("GET", "/events", Self.field).status == 200)
                #expect(try await peer.event()["event"] == "ready")
                log.isAway.withLock { $0 = true }
                for number in 1...3 { Self.append(number, to: log) }
                try await eventually("it was asked for") { log.refused.withLock { $0 } > 2 }
                log.isAway.withLock { $0 = false }
                for number in 1...3 { #expect(try Self.text(try await peer.event()) == "event \(number)") }
            }
        }
    }

    @Test("When the program stops, streams end without an end, and hold nothing up")
    func shutdown() async throws {
        let log = InMemoryEventLog(clock: SystemWallClock())
        try await Server.run(events: log) { server async throws in
            try await Peer.connect(server.port) { peer async throws in
                _ = try await peer.request("GET", "/events", Self.field)
                #expect(try await peer.event()["event"] == "ready")
                server.responder.streams.quiesce()
                await #expect(throws: Peer.Ended.self) { try await peer.event() }
                #expect(try await server.request("GET", "/events", token: "alice-user").status == 503)
            }
        }
    }

    @Test("RFC 9110 §9.3.2: HEAD has the head of the stream and ends")
    func head() async throws {
        try await Server.run { server async throws in
            let answer = try await server.request("HEAD", "/events", token: "alice-user")
            #expect(answer.status == 200)
            #expect(answer.fields["content-type"] == "text/event-stream")
            #expect(server.responder.streams.count == 0)
        }
    }
}
