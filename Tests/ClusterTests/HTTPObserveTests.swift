import CoAP
import TestSupport
import Testing

@Suite("Observing a device over HTTP across pods", .timeLimit(.minutes(5)))
struct HTTPObserveTests {
    private static func text(_ event: EventReader.Event) -> String {
        #expect(event.name == "notification", "\(event)")
        return event.data.contains("\"text\":\"") ? String(event.data.split(separator: "\"").dropLast().last ?? "") : ""
    }

    @Test("The device is cut off and signs in at the other pod, twice: the streams go on and tell only what differs")
    func moves() async throws {
        try await RunningCluster.with { cluster in
            let owner = try await cluster.owner("alice")
            let lamp = try await cluster.device("lamp", of: owner, at: 0)
            func open(_ door: Int) async throws -> EventReader {
                try await EventReader.open(try cluster.http(door), "/lamp/light", token: owner.token)
            }
            async let opening = open(0)
            let upstream = try await lamp.peer.receiveGet("light", observe: 0)
            try await lamp.peer.notify(upstream, "on")
            // The other northbound's observer costs the device nothing.
            let readers = [try await opening, try await open(1)]
            for reader in readers { #expect(Self.text(try await reader.next()) == "on") }
            try await lamp.peer.notify(upstream, "off")
            for reader in readers { #expect(Self.text(try await reader.next()) == "off") }

            // Is cut off, and back at the other pod with what it said before: nobody is told that.
            await lamp.peer.close()
            let second = try await lamp.login.signIn(on: cluster.connect(to: 1)).peer
            let again = try await second.receiveGet("light", observe: 0)
            try await second.notify(again, "off")
            try await second.notify(again, "on")
            for reader in readers { #expect(Self.text(try await reader.next()) == "on") }

            // Takes its own session over, and has news at once.
            let third = try await lamp.login.signIn(on: cluster.connect(to: 0)).peer
            try await second.receiveAbort()
            try await third.notify(try await third.receiveGet("light", observe: 0), "dim")
            for reader in readers { #expect(Self.text(try await reader.next()) == "dim") }
            try await third.expectSilence()

            // The device is left alone once nobody reads any more.
            for reader in readers { await reader.close() }
            let last = try await third.receiveGet("light", observe: 1)
            try await third.answer(last, Response(.content))
        }
    }

    @Test("C-76: a device that signs out ends its streams at once and says why; the metrics have what is observed")
    func signsOut() async throws {
        try await RunningCluster.with { cluster in
            let owner = try await cluster.owner("alice")
            let lamp = try await cluster.device("lamp", of: owner, at: 0)
            async let opening = EventReader.open(try cluster.http(0), "/lamp/light", token: owner.token)
            let upstream = try await lamp.peer.receiveGet("light", observe: 0)
            try await lamp.peer.notify(upstream, "on")
            let reader = try await opening
            #expect(Self.text(try await reader.next()) == "on")
            let (pod, northbound) = (cluster.coapInterfaces[0], cluster.northbounds[0])
            func expectMetrics(_ count: Int) async throws {
                for (process, name) in [
                    (pod, "coap_observations_upstream"), (pod, "coap_observations_observers"),
                    (northbound, "edge_observations"), (northbound, "http_streams_open"),
                ] {
                    try await cluster.eventually("\(name) is \(count)") {
                        try await process.metric(name) == "\(count)"
                    }
                }
            }
            try await expectMetrics(1)
            let login = lamp.login
            try await lamp.peer.start(
                .signIn(uid: login.uid, di: login.di, accessToken: login.accessToken, login: false))
            let end = try await reader.next()
            #expect(end.name == "end")
            #expect(end.data.contains("/errors#signed-out"), "\(end)")
            try await expectMetrics(0)
            await reader.close()
        }
    }
}
