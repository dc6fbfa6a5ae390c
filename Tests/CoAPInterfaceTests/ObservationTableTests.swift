import CoAP
import NIOCore
import Testing

@testable import CoAPInterface

@Suite("Who observes what of one device")
struct ObservationTableTests {
    private static func request(
        _ path: String = "light", query: String? = nil, _ change: (inout Options) -> Void = { _ in }
    ) -> Request {
        var request = Request(.get, path: [path], queries: query.map { [$0] } ?? [])
        change(&request.options)
        return request
    }

    private static let on = Response(.content, payload: ByteBuffer(string: "on"))
    private static let off = Response(.content, payload: ByteBuffer(string: "off"))

    /// The one upstream observation of a table in which observer 1 observes the light.
    private static func begun(_ table: inout ObservationTable) -> ObservationTable.UpstreamID? {
        guard case .begin(let id, let request) = table.join(Self.request(), as: 1) else { return nil }
        #expect(request.options.observe == 0)
        #expect(request.options.path == ["light"])
        return id
    }

    @Test("C-75: two that observe the same make one upstream observation, which ends with the second of them")
    func shared() throws {
        var table = ObservationTable()
        let id = try #require(Self.begun(&table))
        #expect(table.join(Self.request(), as: 2) == .wait)
        #expect(table.heard(.notified(Self.on), of: id) == .tell([1, 2], Self.on))
        // Who comes later learns at once what the device said last.
        #expect(table.join(Self.request(), as: 3) == .tell(Self.on))
        #expect(table.heard(.notified(Self.off), of: id) == .tell([1, 2, 3], Self.off))
        #expect(table.join(Self.request(), as: 4) == .tell(Self.off))
        #expect(table.upstreamCount == 1)
        for observer in [1, 3, 4] as [UInt64] { #expect(table.leave(observer) == .nothing) }
        #expect(table.heard(.notified(Self.on), of: id) == .tell([2], Self.on))
        #expect(table.leave(2) == .cancel(id))
        #expect(table.leave(2) == .nothing)
        #expect(table.heard(.notified(Self.off), of: id) == .nothing)
        #expect(table.upstreamCount == 0)
        #expect(table.observerCount == 0)
    }

    @Test("RFC 7641 §4.1: a device that answers without Observe ends it for everyone who waits")
    func notObservable() throws {
        var table = ObservationTable()
        let id = try #require(Self.begun(&table))
        #expect(table.join(Self.request(), as: 2) == .wait)
        #expect(table.heard(.ended(Self.on), of: id) == .end([1, 2], Self.on))
        #expect(table.upstreamCount == 0)
        #expect(table.observerCount == 0)
        // It may be asked anew.
        #expect(try #require(Self.begun(&table)) != id)
    }

    @Test("RFC 7252 §5.6: what is part of a cache key makes another observation, and nothing else does")
    func keys() throws {
        var table = ObservationTable()
        _ = try #require(Self.begun(&table))
        let same: [(inout Options) -> Void] = [
            { $0.observe = 0 }, { $0.append(.eTag, bytes: [1]) }, { $0.append(.size1, uint: 5) },
        ]
        for (index, change) in same.enumerated() {
            #expect(table.join(Self.request("light", change), as: 10 + UInt64(index)) == .wait)
        }
        let others = [
            Self.request("heater"), Self.request(query: "if=oic.if.baseline"), Self.request { $0.accept = .ocfCBOR },
            Self.request { $0.ocfAcceptVersion = OCFVersion(rawValue: 2048) },
        ]
        for (index, request) in others.enumerated() {
            guard case .begin(_, let upstream) = table.join(request, as: 100 + UInt64(index)) else {
                Issue.record("shared: \(request)")
                continue
            }
            #expect(upstream.options.queries == request.options.queries)
            #expect(upstream.options.accept == request.options.accept)
        }
        #expect(table.upstreamCount == 1 + others.count)
    }

    @Test("BI-26: 64 upstream and 1,024 observers, and no more")
    func bounded() throws {
        var table = ObservationTable()
        for number in 0..<64 as Range<UInt64> {
            guard case .begin = table.join(Self.request("r\(number)"), as: number) else {
                Issue.record("resource \(number) is not observed")
                return
            }
        }
        #expect(table.join(Self.request("r64"), as: 64) == .full)
        for number in 64..<1024 as Range<UInt64> { #expect(table.join(Self.request("r0"), as: number) == .wait) }
        #expect(table.join(Self.request("r0"), as: 1024) == .full)
        #expect(table.leave(1024) == .nothing)
        #expect(table.leave(1023) == .nothing)
        #expect(table.join(Self.request("r0"), as: 1025) == .wait)
    }

    @Test("The end of the session names every observer once")
    func endAll() throws {
        var table = ObservationTable()
        let id = try #require(Self.begun(&table))
        _ = table.join(Self.request(), as: 2)
        guard case .begin(let other, _) = table.join(Self.request("heater"), as: 3) else {
            Issue.record("not begun")
            return
        }
        let ended = table.endAll()
        #expect(ended.observers == [1, 2, 3])
        #expect(ended.upstreams == [id, other])
        #expect(table.heard(.notified(Self.on), of: id) == .nothing)
        #expect(table.leave(1) == .nothing)
        #expect(table.endAll().observers.isEmpty)
    }
}

@Suite("Observing the cloud's own links")
struct LinksObservationTests {
    private static let request = Request(.get, path: ["oic", "res"])
    private static func list(_ text: String) -> Response { Response(.content, payload: ByteBuffer(string: text)) }

    @Test("It is asked at once, and after each change; only what differs is told")
    func news() {
        var links = LinksObservation(request: Self.request)
        #expect(links.next() == Self.request)
        #expect(links.next() == nil)
        #expect(links.answered(Self.list("a")) == .tell(Self.list("a")))
        #expect(links.next() == nil)
        links.changed()
        #expect(links.next() == Self.request)
        #expect(links.answered(Self.list("a")) == .nothing)
        links.changed()
        _ = links.next()
        #expect(links.answered(Self.list("b")) == .tell(Self.list("b")))
    }

    @Test("Any number of changes while it is asked make one more question")
    func coalesced() {
        var links = LinksObservation(request: Self.request)
        _ = links.next()
        for _ in 0..<5 { links.changed() }
        #expect(links.next() == nil)
        #expect(links.answered(Self.list("a")) == .tell(Self.list("a")))
        #expect(links.next() == Self.request)
        #expect(links.answered(Self.list("a")) == .nothing)
        #expect(links.next() == nil)
    }

    @Test("RFC 7641 §4.2: an error ends it")
    func error() {
        var links = LinksObservation(request: Self.request)
        _ = links.next()
        let error = Response(.serviceUnavailable, diagnostic: "no registry", maxAge: 5)
        #expect(links.answered(error) == .end(error))
    }

    @Test("What the device said last keeps no more memory than it takes, however much was read with it")
    func keepsLittle() throws {
        var table = ObservationTable()
        guard case .begin(let id, _) = table.join(Request(.get), as: 1) else {
            Issue.record("not begun")
            return
        }
        var read = ByteBuffer(repeating: 7, count: 65_536)
        let slice = read.readSlice(length: 100)
        let payload = try #require(slice)
        _ = table.heard(.notified(Response(.content, payload: payload)), of: id)
        let kept = try #require(table.last(of: id)?.payload)
        #expect(kept == payload)
        #expect(kept.storageCapacity <= 256)
    }

    @Test("A batch of everything is asked for once for each observer: the last word on it may be a part of it")
    func batch() {
        var table = ObservationTable()
        var options = Options()
        options.path = ["oic", "res"]
        options.queries = ["if=oic.if.b"]
        let request = Request(.get, options: options)
        guard case .begin(let first, _) = table.join(request, as: 1),
            case .begin(let second, _) = table.join(request, as: 2)
        else {
            Issue.record("shared")
            return
        }
        #expect(table.heard(.notified(Response(.content)), of: first) == .tell([1], Response(.content)))
        #expect(table.leave(1) == .cancel(first))
        #expect(table.leave(2) == .cancel(second))
        #expect(table.upstreamCount == 0)
    }
}
