import Cloud
import CoAP
import NIOCore
import OCF
import Testing

@testable import Edge

@Suite("Those who observe the same through one edge")
struct SharedObservationTests {
    private static func bench() throws -> EdgeBench {
        let bench = try EdgeBench(ScriptedResponder(.answer(.on)), owner: "alice")
        bench.pods["pod.2"] = ScriptedResponder(.answer(.on))
        return bench
    }

    @Test("Clients of one user share one observation at the pod, and the later one learns at once what holds")
    func shared() async throws {
        let bench = try Self.bench()
        let (first, second, third) = (Heard(), Heard(), Heard())
        await bench.observe(first)
        await bench.observe(second)
        #expect(bench.edge.inFlight == 1)
        await bench.tell(.notified(.on))
        await bench.tell(.notified(.off))
        await bench.observe(third)
        #expect(third.all == [.notified(.off)])
        await bench.tell(.notified(.on))
        #expect(first.all == [.notified(.on), .notified(.off), .notified(.on)])
        #expect(second.all == first.all)
        #expect(third.all == [.notified(.off), .notified(.on)])
        #expect(bench.pods.registrations.count == 1)
        #expect(bench.edge.inFlight == 0)
        #expect(bench.edge.observing == 3)
        await bench.tell(.ended(Response(.notFound)))
        for heard in [first, second, third] { #expect(heard.all.last == .ended(Response(.notFound))) }
        #expect(bench.edge.observing == 0)
        // What comes now begins anew.
        await bench.observe(first)
        #expect(bench.pods.registrations.count == 2)
    }

    @Test("Another query or another format is another observation")
    func apart() async throws {
        let bench = try Self.bench()
        var accepting = EdgeBench.registration()
        accepting.options.accept = .json
        for request in [EdgeBench.registration(), EdgeBench.registration(query: 1), accepting] {
            await bench.observe(request, Heard())
        }
        #expect(bench.pods.registrations.count == 3)
    }

    @Test("Nobody joins what another user observes")
    func owners() async throws {
        let bench = try Self.bench()
        let (alice, bob) = (Heard(), Heard())
        await bench.observe(alice)
        await bench.tell(.notified(.on))
        await bench.observe(EdgeBench.registration(uid: "bob"), bob)
        #expect(alice.all == [.notified(.on)])
        #expect(bob.all.map(\.code) == [.forbidden])
        #expect(bench.edge.observing == 1)
    }

    @Test("The request id, the time that is left and what a client has already make no difference")
    func together() async throws {
        let bench = try Self.bench()
        var request = EdgeBench.registration()
        request.options.append(.eTag, bytes: [1])
        await bench.observe(request, Heard())
        // What the first one has already is of no use to the others.
        #expect(bench.pods.registrations.first?.request.options.contains(.eTag) == false)
        #expect(bench.pods.registrations.first?.request.options.requestID == "r-1")
        request.options.requestID = "r-2"
        request.options.deadlineMilliseconds = 7
        request.options.endpoint = "coap+tcp://elsewhere:5683"
        await bench.observe(request, Heard())
        #expect(bench.pods.registrations.count == 1)
        // Only lists of links have addresses in them.
        var links = EdgeBench.request(.get, "oic", "res")
        links.options.observe = 0
        await bench.observe(links, Heard())
        links.options.endpoint = "coap+tcp://elsewhere:5683"
        await bench.observe(links, Heard())
        #expect(bench.pods.registrations.count == 3)
    }

    @Test("Who leaves ends it for nobody else, also before the first answer; the last one ends it")
    func leaving() async throws {
        let bench = try Self.bench()
        let (first, second, third) = (Heard(), Heard(), Heard())
        let one = await bench.observe(first)
        let two = await bench.observe(second)
        one.cancel()
        await bench.run()
        await bench.tell(.notified(.on))
        #expect(second.all == [.notified(.on)])
        let three = await bench.observe(third)
        two.cancel()
        two.cancel()
        await bench.run()
        await bench.tell(.notified(.off))
        #expect(third.all == [.notified(.on), .notified(.off)])
        #expect(bench.pods.registrations.map(\.isCancelled) == [false])
        #expect(bench.edge.observing == 1)
        three.cancel()
        await bench.run()
        #expect(bench.pods.registrations.map(\.isCancelled) == [true])
        #expect(first.all.isEmpty)
        #expect(second.all.count == 1)
        #expect(bench.edge.observing == 0)
        #expect(bench.edge.inFlight == 0)
    }

    @Test("What cannot be observed is answered once to all who wait for it")
    func notObservable() async throws {
        let bench = try Self.bench()
        let (first, second) = (Heard(), Heard())
        await bench.observe(first)
        await bench.observe(second)
        await bench.tell(.ended(.on))
        for heard in [first, second] { #expect(heard.all == [.ended(.on)]) }
        #expect(bench.edge.observing == 0)
        #expect(bench.edge.inFlight == 0)
    }

    @Test("A device that moves is registered with once for all; who comes meanwhile is not told what may be over")
    func moves() async throws {
        let bench = try Self.bench()
        let (first, second, late, later) = (Heard(), Heard(), Heard(), Heard())
        await bench.observe(first)
        await bench.observe(second)
        await bench.tell(.notified(.on))
        try bench.claim(EdgeBench.elsewhere)
        await bench.tell(.ended(.undelivered(.superseded)))
        await bench.observe(late)
        #expect(late.all.isEmpty)
        #expect(bench.pods.registrations.map(\.pod) == ["pod.1", "pod.2"])
        await bench.tell(.notified(.off))
        #expect(late.all == [.notified(.off)])
        await bench.advance(.seconds(1))
        #expect(bench.pods.registrations.map(\.pod) == ["pod.1", "pod.2", "pod.2"])
        await bench.tell(.notified(.off))
        for heard in [first, second] { #expect(heard.all == [.notified(.on), .notified(.off)]) }
        await bench.observe(later)
        #expect(later.all == [.notified(.off)])
        #expect(bench.pods.registrations.count == 3)
        #expect(bench.edge.observing == 4)
    }

    @Test("Who comes while the device is away is answered at once; the others go on waiting, and all end together")
    func away() async throws {
        let bench = try Self.bench()
        let epoch = try bench.claim(EdgeBench.home)
        let (first, second, late) = (Heard(), Heard(), Heard())
        await bench.observe(first)
        await bench.observe(second)
        await bench.tell(.notified(.on))
        bench.routes.drop(bench.lamp, pod: EdgeBench.home, epoch: epoch)
        await bench.tell(.ended(.undelivered(.noSession)))
        await bench.observe(late)
        #expect(late.all.map(\.code) == [.serviceUnavailable])
        #expect(first.all.count == 1)
        await bench.advance(.seconds(31))
        for heard in [first, second] { #expect(heard.all.map(\.code) == [.content, .serviceUnavailable]) }
        #expect(bench.edge.observing == 0)
        #expect(bench.edge.inFlight == 0)
    }
}
