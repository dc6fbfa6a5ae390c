import CoAP
import NIOCore
import Testing

@Suite("Who observes what by way of us")
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

    @Test("Nobody joins what is not sure to hold any more; its observers stay with it")
    func closed() throws {
        var table = ObservationTable()
        let old = try #require(Self.begun(&table))
        _ = table.heard(.notified(Self.on), of: old)
        table.setOpen(false, old)
        guard case .begin(let new, _) = table.join(Self.request(), as: 2) else {
            Issue.record("joined")
            return
        }
        // One of them is enough for whoever comes.
        table.setOpen(true, old)
        #expect(table.join(Self.request(), as: 3) == .wait)
        #expect(table.heard(.notified(Self.off), of: new) == .tell([2, 3], Self.off))
        #expect(table.heard(.notified(Self.off), of: old) == .tell([1], Self.off))
        #expect(table.leave(1) == .cancel(old))
        #expect(table.join(Self.request(), as: 4) == .tell(Self.off))
        #expect(table.heard(.ended(Self.on), of: new) == .end([2, 3, 4], Self.on))
        // Open again, with nobody in its place.
        let only = try #require(Self.begun(&table))
        _ = table.heard(.notified(Self.on), of: only)
        table.setOpen(false, only)
        table.setOpen(true, only)
        #expect(table.join(Self.request(), as: 5) == .tell(Self.on))
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

    @Test("What is not to be shared is asked for each observer, also once it is open again")
    func unshared() {
        var table = ObservationTable()
        guard case .begin(let first, _) = table.join(Self.request(), isShared: false, as: 1),
            case .begin(let second, _) = table.join(Self.request(), isShared: false, as: 2)
        else {
            Issue.record("shared")
            return
        }
        #expect(table.heard(.notified(Self.on), of: first) == .tell([1], Self.on))
        table.setOpen(false, first)
        table.setOpen(true, first)
        guard case .begin = table.join(Self.request(), as: 3) else {
            Issue.record("shared")
            return
        }
        #expect(table.leave(1) == .cancel(first))
        #expect(table.leave(2) == .cancel(second))
    }
}
