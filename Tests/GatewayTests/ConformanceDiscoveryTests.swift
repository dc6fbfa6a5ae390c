import CBOR
import CoAP
import NIOCore
import TestSupport
import Testing

@Suite("Discovery through the cloud on a real socket, conformance ideas 63–67")
struct ConformanceDiscoveryTests {
    private static func link(_ href: String, rt: String, bm: Int64 = 3) -> DataItem {
        .map([
            "href": .text(href), "rt": [.text(rt)], "if": ["oic.if.baseline"], "p": ["bm": DataItem(integer: bm)],
            "eps": [.map(["ep": "coap://192.0.2.7:5683"])],
        ])
    }

    private static func publish(_ device: SignedIn, _ links: DataItem...) async throws {
        let answer = try await device.peer.ask(
            .ocf(.post, "oic/rd", .map(["di": .text(device.di), "links": .array(links), "ttl": 0])))
        guard answer.code == .changed else { throw PeerError("publish: \(answer.code)") }
    }

    @Test("C-63, C-66: the user's discoverable links are listed, with anchor, prefixed href and the address dialled")
    func list() async throws {
        try await RunningGateway.with { gateway in
            let alice = try await gateway.owner("alice")
            let lamp = try await alice.device("lamp")
            let fan = try await alice.device("fan")
            let foreign = try await gateway.owner("bob").device("radio")
            try await Self.publish(
                lamp, Self.link("/light", rt: "x.light"), Self.link("/secret", rt: "x.light", bm: 2))
            try await Self.publish(fan, Self.link("/speed", rt: "x.speed"))
            try await Self.publish(foreign, Self.link("/volume", rt: "x.volume"))
            let client = try await alice.client("phone")
            // An offline device is listed as well.
            await fan.peer.close()
            let answer = try await client.peer.ask(.ocf(.get, "oic/res"))
            #expect(answer.code == .content)
            let links = try #require(answer.item?.elements)
            #expect(links.compactMap { $0["href"]?.string }.sorted() == ["/fan/speed", "/lamp/light"])
            for link in links {
                let di = try #require(link["di"]?.string)
                #expect(link["anchor"] == .text("ocf://\(di)"))
                #expect(
                    link["eps"] == [.map(["ep": .text("coap+tcp://127.0.0.1:\(gateway.coapPort)"), "pri": 1])])
                #expect(link["p"]?["bm"] == 3)
            }
            #expect(try await foreign.discover() == ["/radio/volume"])
        }
    }

    @Test("C-64: di= and rt= are OR within a key and AND across keys; no match is an empty array")
    func filters() async throws {
        try await RunningGateway.with { gateway in
            let alice = try await gateway.owner("alice")
            let lamp = try await alice.device("lamp")
            let fan = try await alice.device("fan")
            try await Self.publish(lamp, Self.link("/light", rt: "x.light"), Self.link("/clock", rt: "x.clock"))
            try await Self.publish(fan, Self.link("/speed", rt: "x.speed"), Self.link("/clock", rt: "x.clock"))
            #expect(try await lamp.discover("di=lamp").sorted() == ["/lamp/clock", "/lamp/light"])
            #expect(try await lamp.discover("di=lamp", "di=fan").count == 4)
            #expect(try await lamp.discover("rt=x.clock").sorted() == ["/fan/clock", "/lamp/clock"])
            #expect(try await lamp.discover("rt=x.light", "rt=x.speed").sorted() == ["/fan/speed", "/lamp/light"])
            #expect(try await lamp.discover("di=fan", "rt=x.clock") == ["/fan/clock"])
            #expect(try await lamp.discover("di=lamp&rt=x.clock") == ["/lamp/clock"])
            for queries in [["rt=x.none"], ["di=nobody"], ["di=%"], ["di=lamp", "rt=x.speed"]] {
                let answer = try await lamp.peer.ask(.ocf(.get, "oic/res", queries: queries))
                #expect(answer.code == .content)
                #expect(answer.payload == ByteBuffer(bytes: [0x80]))
            }
            // Keys nobody knows are ignored.
            #expect(try await lamp.discover("sn=1").count == 4)
        }
    }

    @Test("C-65, BI-23: Accept 10000, 60 and 50 are met, anything else is 4.06, an unknown Content-Format 4.15")
    func formats() async throws {
        try await RunningGateway.with { gateway in
            let device = try await gateway.owner("alice").device("lamp")
            try await Self.publish(device, Self.link("/light", rt: "x.light"))
            func ask(_ accept: UInt16?) async throws -> Message {
                var request = Request(.get, path: ["oic", "res"])
                request.options.accept = accept.map(ContentFormat.init(rawValue:))
                return try await device.peer.ask(request)
            }
            #expect(try await ask(nil).options.contentFormat == .ocfCBOR)
            #expect(try await ask(10000).options.contentFormat == .ocfCBOR)
            let old = try await ask(60)
            #expect(old.options.contentFormat == .cbor)
            #expect(old.item?.elements?.first?["di"] == "lamp")
            #expect(old.item?.elements?.first?["links"]?.elements?.first?["href"] == "/lamp/light")
            let json = try await ask(50)
            #expect(json.options.contentFormat == .json)
            #expect(json.text.hasPrefix("[{"))
            for format in [0, 41, 10001, 65535] as [UInt16] {
                let answer = try await ask(format)
                #expect(answer.code == .notAcceptable)
                #expect(answer.options.contentFormat == nil)
            }
            var publish = Request.publish(di: "lamp", hrefs: ["/x"])
            for format in [0, 41, 40, 65535] as [UInt16] {
                publish.options.contentFormat = ContentFormat(rawValue: format)
                #expect(try await device.peer.ask(publish).code == .unsupportedContentFormat)
            }
            publish.options.contentFormat = .json
            publish.payload = ByteBuffer(
                string: #"{"di":"lamp","ttl":0,"links":[{"href":"/j","rt":["x"],"if":["oic.if.r"]}]}"#)
            publish.options.accept = .json
            let answer = try await device.peer.ask(publish)
            #expect(answer.code == .changed)
            #expect(answer.options.contentFormat == .json)
        }
    }

    @Test("C-67: an answer carries 2053 only towards a peer that has shown to be OCF")
    func versions() async throws {
        try await RunningGateway.with { gateway in
            let device = try await gateway.owner("alice").device("lamp")
            #expect(try await device.peer.ask(.ocf(.get, "oic/res")).options.ocfVersion == .v1_0_0)
            let plain = try await device.peer.ask(Request(.get, path: ["oic", "res"]))
            #expect(plain.code == .content)
            #expect(!plain.options.contains(.ocfContentFormatVersion))
            var other = Request.ocf(.get, "oic/res")
            other.options.ocfAcceptVersion = OCFVersion(rawValue: 2 << 11)
            #expect(try await device.peer.ask(other).code == .notAcceptable)
        }
    }
}
