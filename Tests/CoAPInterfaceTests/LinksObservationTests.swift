import CoAP
import NIOCore
import Testing

@testable import CoAPInterface

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
}
