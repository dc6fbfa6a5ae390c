import CBOR
import Cloud
import CoAP
import NIOCore
import OCF
import Synchronization
import Testing

@testable import Edge

@Suite("Observations through the edge")
struct ObserveTests {
    private static func bench(
        owner: String? = "alice", limits: EdgeLimits = EdgeLimits(), isSignedIn: Bool = true
    ) throws -> EdgeBench {
        let bench = try EdgeBench(
            ScriptedResponder(.answer(.on)), owner: owner, isSignedIn: isSignedIn, limits: limits)
        bench.pods["pod.2"] = ScriptedResponder(.answer(.on))
        return bench
    }

    @Test("A registration goes to the pod that has the device, and what it says comes back in order")
    func observed() async throws {
        let bench = try Self.bench()
        let heard = Heard()
        await bench.observe(heard)
        let registration = try #require(bench.pods.registrations.first)
        #expect(registration.pod == "pod.1")
        #expect(registration.request.options.observe == 0)
        #expect(registration.request.options.fence?.uid == "alice")
        #expect(registration.request.options.fence?.epoch != 0)
        #expect(bench.edge.inFlight == 1)
        for event in [ObservationEvent.notified(.on), .notified(.off), .notified(.on)] { await bench.tell(event) }
        #expect(heard.all == [.notified(.on), .notified(.off), .notified(.on)])
        #expect(bench.edge.inFlight == 0)
        #expect(bench.edge.observing == 1)
        await bench.tell(.ended(Response(.notFound)))
        #expect(heard.all.last == .ended(Response(.notFound)))
        #expect(bench.edge.observing == 0)
    }

    @Test("RFC 7641 §4.1: what the device answers without Observe is the last word")
    func notObservable() async throws {
        let bench = try Self.bench()
        let heard = Heard()
        await bench.observe(heard)
        await bench.tell(.ended(.on))
        #expect(heard.all == [.ended(.on)])
        #expect(bench.edge.observing == 0)
        #expect(bench.edge.inFlight == 0)
    }

    @Test("Devices of others, and what is no device, are refused like any request")
    func refused() async throws {
        let heard = Heard()
        let foreign = try Self.bench(owner: "bob", isSignedIn: false)
        await foreign.observe(heard)
        #expect(heard.all.map(\.code) == [.forbidden])
        let unknown = try Self.bench(owner: nil, isSignedIn: false)
        await unknown.observe(heard)
        #expect(heard.all.map(\.code) == [.forbidden, .notFound])
        let offline = try Self.bench(isSignedIn: false)
        await offline.observe(heard)
        #expect(heard.all.map(\.code) == [.forbidden, .notFound, .serviceUnavailable])
        for bench in [foreign, unknown, offline] {
            #expect(bench.edge.inFlight == 0)
            #expect(bench.edge.observing == 0)
        }
    }

    @Test("Who cancels is told nothing more, and its registration is cancelled")
    func cancelled() async throws {
        let bench = try Self.bench()
        let heard = Heard()
        let handle = await bench.observe(heard)
        await bench.tell(.notified(.on))
        handle.cancel()
        handle.cancel()
        await bench.run()
        #expect(bench.pods.registrations.map(\.isCancelled) == [true])
        await bench.tell(.notified(.off))
        #expect(heard.all == [.notified(.on)])
        #expect(bench.edge.observing == 0)
    }

    @Test("Who cancels before the first answer holds no place any more")
    func cancelledEarly() async throws {
        let bench = try Self.bench()
        let heard = Heard()
        let early = bench.edge.observe(EdgeBench.registration()) { heard.add($0) }
        early.cancel()
        await bench.run()
        #expect(!bench.pods.registrations.contains { !$0.isCancelled })
        let waiting = await bench.observe(heard)
        waiting.cancel()
        await bench.run()
        #expect(!bench.pods.registrations.contains { !$0.isCancelled })
        #expect(heard.all.isEmpty)
        #expect(bench.edge.inFlight == 0)
        #expect(bench.edge.observing == 0)
    }

    @Test("A device that moves is observed at its new pod, and only what changed is told")
    func moves() async throws {
        let bench = try Self.bench()
        let heard = Heard()
        await bench.observe(heard)
        await bench.tell(.notified(.on))
        try bench.claim(EdgeBench.elsewhere)
        await bench.tell(.ended(.undelivered(.superseded)))
        await bench.advance(.milliseconds(999))
        #expect(bench.pods.registrations.count == 1)
        await bench.advance(.milliseconds(1))
        #expect(bench.pods.registrations.map(\.pod) == ["pod.1", "pod.2"])
        await bench.tell(.notified(.on))
        #expect(heard.all == [.notified(.on)])
        await bench.tell(.notified(.off))
        #expect(heard.all == [.notified(.on), .notified(.off)])
        // Back again, with news.
        try bench.claim(EdgeBench.home)
        await bench.tell(.ended(.undelivered(.moving)))
        await bench.advance(.seconds(1))
        await bench.tell(.notified(.on))
        #expect(bench.pods.registrations.map(\.pod) == ["pod.1", "pod.2", "pod.1"])
        #expect(heard.all.last == .notified(.on))
        #expect(heard.all.count == 3)
    }

    @Test("A device that is away is found where it signs in, within 30 s")
    func comesBack() async throws {
        let bench = try Self.bench(isSignedIn: false)
        let epoch = try bench.claim(EdgeBench.home)
        let heard = Heard()
        await bench.observe(heard)
        await bench.tell(.notified(.on))
        bench.mark(.left, epoch: epoch)
        await bench.tell(.ended(.undelivered(.noSession)))
        await bench.advance(.seconds(25))
        #expect(heard.all.count == 1)
        try bench.claim(EdgeBench.elsewhere)
        await bench.advance(.seconds(2))
        #expect(bench.pods.registrations.map(\.pod) == ["pod.1", "pod.2"])
        await bench.tell(.notified(.off))
        #expect(heard.all.last == .notified(.off))
    }

    @Test("C-76: one that does not come back ends with 5.03 after 30 s")
    func staysAway() async throws {
        let bench = try Self.bench(isSignedIn: false)
        let epoch = try bench.claim(EdgeBench.home)
        let heard = Heard()
        await bench.observe(heard)
        await bench.tell(.notified(.on))
        bench.mark(.left, epoch: epoch)
        await bench.tell(.ended(.undelivered(.noSession)))
        await bench.advance(.milliseconds(29_900))
        #expect(heard.all.count == 1)
        await bench.advance(.milliseconds(200))
        #expect(heard.all.map(\.code) == [.content, .serviceUnavailable])
        #expect(heard.all.last?.isEnd == true)
        #expect(bench.edge.observing == 0)
        #expect(bench.edge.inFlight == 0)
    }

    @Test("C-76: a sign-out ends it at once, and so does a deletion that is found out only later")
    func endsAtOnce() async throws {
        let bench = try Self.bench()
        let heard = Heard()
        await bench.observe(heard)
        await bench.tell(.notified(.on))
        await bench.tell(.ended(.undelivered(.signedOut)))
        #expect(heard.all.last?.isEnd == true)
        #expect(heard.all.last?.undelivered == .signedOut)
        let early = Heard()
        _ = await bench.observe(early)
        await bench.tell(.ended(.undelivered(.signedOut)))
        #expect(early.all.count == 1)
        #expect(early.all.last?.undelivered == .signedOut)

        let deleted = try Self.bench(owner: nil)
        let later = Heard()
        await deleted.observe(later)
        await deleted.tell(.notified(.on))
        deleted.routes.drop(deleted.lamp, pod: EdgeBench.home, epoch: try #require(await deleted.epoch()))
        await deleted.tell(.ended(.undelivered(.unreachable)))
        await deleted.advance(.seconds(1))
        #expect(later.all.map(\.code) == [.content, .notFound])
    }

    @Test("What the pod says of a device's notification stays its own word, and is not taken for the device's")
    func unusable() async throws {
        let bench = try Self.bench()
        let heard = Heard()
        _ = await bench.observe(heard)
        await bench.tell(.notified(.on))
        await bench.tell(.ended(.unknown(.unusableAnswer)))
        #expect(heard.all.last?.unknownOutcome == .unusableAnswer)
    }

    @Test("Commands are not held up: they go first to a device that is back, and hold no place for observations")
    func behindCommands() async throws {
        var limits = EdgeLimits()
        limits.inFlightPerOwner = 2
        limits.waitersPerDevice = 2
        let bench = try Self.bench(limits: limits, isSignedIn: false)
        let epoch = try bench.claim(EdgeBench.home)
        var observers: [Heard] = []
        for number in 0..<5 {
            let heard = Heard()
            await bench.observe(heard, query: number)
            await bench.tell(.notified(.on))
            observers.append(heard)
        }
        #expect(bench.edge.inFlight == 0)
        bench.mark(.moving, epoch: epoch)
        for registration in bench.pods.registrations { registration.tell(.ended(.undelivered(.moving))) }
        await bench.advance(.seconds(1))
        // One of the observations is in the waiting room now; both commands still find a place before it.
        for name in ["a", "b"] { await bench.begin(name, EdgeBench.request(.post, name)) }
        #expect(bench.answers.all.isEmpty)
        try bench.claim(EdgeBench.elsewhere)
        await bench.run()
        #expect(bench.answers.names == ["a", "b"])
        #expect(bench.answers.all.allSatisfy { $0.response == .on })
        for _ in 0..<5 {
            await bench.advance(.seconds(2))
            await bench.tell(.notified(.off))
        }
        for heard in observers { #expect(heard.all == [.notified(.on), .notified(.off)]) }
    }

    @Test("At most one registration of a device at a time")
    func oneAtATime() async throws {
        let bench = try Self.bench()
        for number in 0..<3 {
            await bench.observe(Heard(), query: number)
            await bench.tell(.notified(.on))
        }
        try bench.claim(EdgeBench.elsewhere)
        for registration in bench.pods.registrations { registration.tell(.ended(.undelivered(.superseded))) }
        for count in 4...6 {
            await bench.advance(.seconds(2))
            #expect(bench.pods.registrations.count == count)
            await bench.tell(.notified(.on))
        }
        await bench.advance(.seconds(5))
        #expect(bench.pods.registrations.count == 6)
    }

    @Test("BI-26: above its bound an owner is answered once and not observed; others are observed")
    func bounded() async throws {
        var limits = EdgeLimits()
        limits.observationsPerOwner = 2
        limits.observations = 3
        let bench = try Self.bench(limits: limits)
        for number in 0..<2 {
            await bench.observe(Heard(), query: number)
            await bench.tell(.notified(.on))
        }
        let third = Heard()
        await bench.observe(third)
        #expect(third.all == [.ended(.on)])
        #expect(bench.pods.log.last?.request.options.observe == nil)
        #expect(bench.edge.observing == 2)
        await bench.tell(.ended(Response(.notFound)))
        await bench.observe(third)
        #expect(bench.edge.observing == 2)
        #expect(bench.pods.registrations.count == 3)
    }

    @Test("BI-26: Observe with another method, or another value, is not a registration")
    func notARegistration() async throws {
        let bench = try Self.bench()
        for (method, value) in [(Code.post, UInt32(0)), (.get, 1), (.get, 2), (.put, 0)] {
            var request = EdgeBench.request(method, "light")
            request.options.observe = value
            let heard = Heard()
            _ = bench.edge.observe(request) { heard.add($0) }
            await bench.run()
            #expect(heard.all == [.ended(.on)])
        }
        #expect(bench.pods.registrations.isEmpty)
        #expect(bench.pods.log.allSatisfy { $0.request.options.observe == nil })
    }

    @Test("A list of links is rewritten in each notification")
    func links() async throws {
        let bench = try Self.bench()
        let heard = Heard()
        var request = EdgeBench.request(.get, "oic", "res")
        request.options.observe = 0
        _ = bench.edge.observe(request) { heard.add($0) }
        await bench.run()
        for href in ["/a", "/b"] {
            let list = Negotiation.ocf.response(.content, .array([.map(["href": .text(href)])]))
            await bench.tell(.notified(list))
        }
        let texts = heard.all.map { event in event.response.payload.map { String(buffer: $0) } ?? "" }
        #expect(texts.count == 2)
        #expect(texts.first?.contains("/lamp/a") == true)
        #expect(texts.last?.contains("/lamp/b") == true)
    }

    @Test("A process that stops ends what waits for a device, and goes on with the rest")
    func stops() async throws {
        let bench = try Self.bench()
        let (lost, standing) = (Heard(), Heard())
        await bench.observe(lost)
        await bench.tell(.notified(.on))
        await bench.tell(.ended(.undelivered(.moving)))
        await bench.observe(standing)
        await bench.tell(.notified(.on))
        bench.edge.stopWaiting()
        await bench.run()
        #expect(lost.all.map(\.code) == [.content, .serviceUnavailable])
        await bench.tell(.notified(.off))
        #expect(standing.all == [.notified(.on), .notified(.off)])
        await bench.tell(.ended(.undelivered(.moving)))
        #expect(standing.all.last?.code == .serviceUnavailable)
    }
}

extension EdgeBench {
    /// The epoch of the lamp's route.
    fileprivate func epoch() async -> UInt64? {
        let found = Box<UInt64?>(nil)
        self.routes.find(self.lamp) { result in
            if case .success(let route?) = result { found.value = route.route.epoch }
        }
        return found.value
    }
}
