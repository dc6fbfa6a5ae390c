import CBOR
import Cloud
import CoAP
import NIOCore
import Testing

@testable import CoAPInterface

@Suite("What the gateway observes of a device for its states")
struct StateWatchTests {
    private static let di = DeviceID(stored: "lamp")

    /// A watch that can be asked within expectations.
    private final class Bench {
        private var watch = StateWatch()

        func published() { self.watch.published() }
        func listed(_ links: [DataItem], of di: DeviceID) -> [WatchedLink] { self.watch.listed(links, of: di) }
        func next() -> WatchedLink? { self.watch.next() }
        func notified(_ link: WatchedLink) -> Bool { self.watch.notified(link) }
        func ended(_ link: WatchedLink, with response: Response) -> StateWatch.EndAction {
            self.watch.ended(link, with: response)
        }
    }

    private static func link(_ href: String, bits: UInt64 = 3, interface: String = "oic.if.baseline") -> DataItem {
        .map([
            "href": .text("/lamp\(href)"), "if": .array([.text(interface)]), "p": .map(["bm": .unsigned(bits)]),
        ])
    }

    private static func watch(_ links: DataItem...) -> Bench {
        let watch = Bench()
        _ = watch.listed(links, of: self.di)
        return watch
    }

    private static func path(_ link: WatchedLink?) -> String? {
        link.map { "/" + $0.path.joined(separator: "/") + ($0.queries.isEmpty ? "" : "?\($0.queries[0])") }
    }

    @Test("One registration at a time, of what is both discoverable and observable")
    func oneAtATime() throws {
        let watch = Self.watch(Self.link("/a"), Self.link("/b", bits: 1), Self.link("/c", bits: 2), Self.link("/d"))
        let first = try #require(watch.next())
        #expect(Self.path(first) == "/a")
        #expect(watch.next() == nil)
        #expect(watch.notified(first))
        #expect(!watch.notified(first))
        let second = try #require(watch.next())
        #expect(Self.path(second) == "/d")
        #expect(watch.notified(second))
        #expect(watch.next() == nil)
    }

    @Test("Of more links than 32 the first 32 are observed")
    func bound() throws {
        let watch = Bench()
        _ = watch.listed((0..<40).map { Self.link("/\($0)") }, of: Self.di)
        var count = 0
        while let link = watch.next() {
            count += 1
            #expect(watch.notified(link))
        }
        #expect(count == 32)
    }

    @Test(
        "The batch takes the place of all others; refused, it gives way to them until the device publishes"
    )
    func batch() throws {
        let links = [Self.link("/a"), Self.link("/oic/res", interface: "oic.if.b"), Self.link("/b")]
        let watch = Bench()
        _ = watch.listed(links, of: Self.di)
        let batch = try #require(watch.next())
        #expect(Self.path(batch) == "/oic/res?if=oic.if.b")
        #expect(watch.ended(batch, with: Response(.badRequest)) == .proceed)
        var paths: [String?] = []
        while let link = watch.next() {
            paths.append(Self.path(link))
            #expect(watch.notified(link))
        }
        #expect(paths == ["/a", "/oic/res", "/b"])
        watch.published()
        #expect(Set(watch.listed(links, of: Self.di).map(Self.path)) == ["/a", "/oic/res", "/b"])
        #expect(watch.next() == batch)
    }

    @Test("A device that cannot answer now is asked again, later each time, and nothing else waits for that")
    func retries() throws {
        let links = [Self.link("/a"), Self.link("/b")]
        let watch = Bench()
        _ = watch.listed(links, of: Self.di)
        let first = try #require(watch.next())
        #expect(
            watch.ended(first, with: Response(.serviceUnavailable, diagnostic: "busy", maxAge: 7))
                == .retry(after: .seconds(7), proceeds: true))
        let second = try #require(watch.next())
        #expect(Self.path(second) == "/b")
        // No answer at all: the others are not tried in turn.
        var mute = Response(.gatewayTimeout)
        mute.options.unknownOutcome = .noAnswer
        #expect(watch.ended(second, with: mute) == .retry(after: .seconds(2), proceeds: false))
        #expect(watch.next() == nil)
        _ = watch.listed(links + [Self.link("/c")], of: Self.di)
        #expect(Self.path(watch.next()) == "/c")
    }

    @Test("The pause has an end, whatever the device says")
    func longestPause() throws {
        let watch = Self.watch(Self.link("/a"))
        for _ in 0..<40 {
            _ = watch.listed([Self.link("/a")], of: Self.di)
            let link = try #require(watch.next())
            guard
                case .retry(let pause, _) = watch.ended(
                    link, with: Response(.serviceUnavailable, diagnostic: "busy", maxAge: .max))
            else {
                Issue.record("not asked again")
                return
            }
            #expect(pause == StateWatch.longestPause)
        }
    }

    @Test("What a device refuses is not asked for again until it publishes, and what it takes back is observed no more")
    func refusals() throws {
        let links = [Self.link("/a"), Self.link("/b")]
        let watch = Bench()
        _ = watch.listed(links, of: Self.di)
        let first = try #require(watch.next())
        #expect(watch.ended(first, with: Response(.content)) == .proceed)
        let second = try #require(watch.next())
        #expect(watch.notified(second))
        _ = watch.listed(links, of: Self.di)
        #expect(watch.next() == nil)
        #expect(watch.listed([Self.link("/a")], of: Self.di) == [second])
        watch.published()
        #expect(watch.next() == first)
    }

    @Test(
        "RFC 7252 §6.4: an href is what the device is asked for, decoded, with its queries",
        arguments: [
            ("/light", "light", ""), ("ocf://lamp/light", "light", ""),
            ("/a%20b/%C3%A4?if=oic.if.s&x", "a b|ä", "if=oic.if.s|x"),
            ("/100%", "100%", ""), ("/%zz/%+1", "%zz|%+1", ""), ("/light#part", "light", ""), ("/%ff", "%ff", ""),
        ])
    func hrefs(_ href: String, _ path: String, _ queries: String) throws {
        let target = try #require(DeviceHref(href, di: Self.di))
        #expect(target.path.joined(separator: "|") == path)
        #expect(target.queries.joined(separator: "|") == queries)
    }

    @Test(
        "An href of another device, or relative to nobody knows what, is none",
        arguments: ["ocf://fan/light", "light", "//fan/light", "", "ocf://lamp"])
    func strangeHrefs(_ href: String) {
        #expect(DeviceHref(href, di: Self.di) == nil)
    }
}
