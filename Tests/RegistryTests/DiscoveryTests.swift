import CBOR
import Cloud
import CoAP
import NIOCore
import OCF
import Registry
import Testing

@Suite("Discovery and negotiation (OCF Core, oic.wk.res)")
struct DiscoveryTests {
    /// Two devices of one user, one of another.
    private static func fill(_ bench: Bench) async throws -> (Signed, Signed, Signed) {
        let first = try await bench.signedUp("d-1")
        let second = try await bench.signedUp("d-2")
        let foreign = try await bench.signedUp("d-3", of: "u-2")
        for (device, links) in [
            (first, [link("/light", rt: ["oic.r.light"]), link("/dimmer", rt: ["oic.r.light", "oic.r.dimming"])]),
            (second, [link("/light", rt: ["oic.r.light"]), link("/lock", rt: ["oic.r.lock"])]),
            (foreign, [link("/light", rt: ["oic.r.light"])]),
        ] {
            await bench.send(
                .post, OCFPath.directory, ["di": .text(device.di.text), "ttl": 0, "links": .array(links)], as: device
            ).expect(.changed)
        }
        return (first, second, foreign)
    }

    @Test(
        "C-63: exactly the user's links, each with anchor, prefixed href and the address that was dialled",
        arguments: StoreKind.allCases)
    func owned(_ kind: StoreKind) async throws {
        try await Bench.run(kind) { bench in
            let (first, _, foreign) = try await Self.fill(bench)
            let item = try await bench.send(.get, OCFPath.discovery, as: first).expectItem(.content)
            let links = try #require(item.elements)
            #expect(links.map { $0["href"]?.string } == ["/d-1/light", "/d-1/dimmer", "/d-2/light", "/d-2/lock"])
            #expect(links.map { $0["anchor"]?.string } == ["ocf://d-1", "ocf://d-1", "ocf://d-2", "ocf://d-2"])
            for link in links {
                #expect(link["eps"] == [["ep": "coap+tcp://127.0.0.1:5683", "pri": 1]])
                #expect(link["p"] == ["bm": 3])
                #expect(link["if"] == ["oic.if.a", "oic.if.baseline"])
                #expect((link["ins"]?.integer ?? 0) > 0)
            }
            #expect(try await bench.discovered(by: foreign) == ["/d-3/light"])
        }
    }

    @Test(
        "C-64: di and rt filter: OR within a key, AND across keys, unknown keys ignored, nothing found is 80",
        arguments: StoreKind.allCases)
    func filters(_ kind: StoreKind) async throws {
        try await Bench.run(kind) { bench in
            let (first, _, _) = try await Self.fill(bench)
            for (queries, hrefs) in [
                (["di=d-2"], ["/d-2/light", "/d-2/lock"]),
                (["rt=oic.r.dimming"], ["/d-1/dimmer"]),
                (["di=d-2", "rt=oic.r.light"], ["/d-2/light"]),
                (["di=d-1", "di=d-2", "rt=oic.r.lock", "rt=oic.r.dimming"], ["/d-1/dimmer", "/d-2/lock"]),
                (["di=d-2&rt=oic.r.light"], ["/d-2/light"]), (["di=d-2;rt=oic.r.light"], ["/d-2/light"]),
                (["sduuid=1", "n=2", "rt=oic.r.lock"], ["/d-2/lock"]),
                (["di=d-3"], []), (["di=nobody"], []), (["di=a/b"], []), (["di="], []), (["rt=x"], []),
                (["di=a/b", "di=d-2", "rt=oic.r.lock"], ["/d-2/lock"]),
                (["if=oic.if.ll", "rt=oic.r.lock"], ["/d-2/lock"]),
                (["if=unknown", "rt=oic.r.lock"], ["/d-2/lock"]),
            ] as [([String], [String])] {
                #expect(try await bench.discovered(by: first, queries) == hrefs, "\(queries)")
            }
            let empty = await bench.send(.get, OCFPath.discovery, queries: ["rt=x"], as: first)
            #expect(empty.code == .content)
            #expect(empty.payload == ByteBuffer(bytes: [0x80]))
        }
    }

    @Test("OCF Core, oic.wk.res: baseline wraps the links, a batch lists href and rep")
    func interfaces() async throws {
        try await Bench.run(.memory) { bench in
            let (first, _, _) = try await Self.fill(bench)
            let queries = ["rt=oic.r.lock"]
            let links = try await bench.send(.get, OCFPath.discovery, queries: queries, as: first)
                .expectItem(.content)
            let baseline = try await bench.send(
                .get, OCFPath.discovery, queries: queries + ["if=oic.if.baseline"], as: first
            ).expectItem(.content)
            #expect(
                baseline == [
                    [
                        "rt": ["oic.wk.res"], "if": ["oic.if.ll", "oic.if.b", "oic.if.baseline"], "links": links,
                    ]
                ])
            let batch = try await bench.send(.get, OCFPath.discovery, queries: queries + ["if=oic.if.b"], as: first)
                .expectItem(.content)
            #expect(
                batch == [
                    [
                        "href": "/d-2/lock",
                        "rep": ["rt": ["oic.r.lock"], "if": ["oic.if.a", "oic.if.baseline"], "p": ["bm": 3]],
                    ]
                ])
        }
    }

    @Test("C-65: Accept 10000, 60 and 50 are met, 41 is 4.06, none means 10000")
    func accept() async throws {
        try await Bench.run(.memory) { bench in
            let (first, _, _) = try await Self.fill(bench)
            func ask(_ accept: UInt16?) async -> Response {
                await bench.send(.get, OCFPath.discovery, queries: ["di=d-2", "rt=oic.r.lock"], as: first) {
                    $0.accept = accept.map(ContentFormat.init(rawValue:))
                }
            }
            let ocf = await ask(10000)
            #expect(ocf.options.contentFormat == .ocfCBOR)
            #expect(await ask(nil) == ocf)
            // In OIC 1.1 links came grouped by device.
            let cbor = await ask(60)
            #expect(cbor.options.contentFormat == .cbor)
            #expect(try cbor.item() == [["di": "d-2", "links": ocf.item() ?? .null]])
            let json = await ask(50)
            #expect(json.options.contentFormat == .json)
            #expect(try json.item() == ocf.item())
            #expect(json.payload.map { String(buffer: $0) }?.hasPrefix("[{\"anchor\":\"ocf://d-2\",") == true)
            for other in [0, 40, 41, 42, 10001, 65535] as [UInt16] {
                await ask(other).expectError(.notAcceptable)
            }
            // Accept 0 has an empty value.
            await bench.send(.get, OCFPath.discovery, as: first) {
                $0.removeAll(.accept)
                $0.append(.accept, uint: 0)
            }.expectError(.notAcceptable)
        }
    }

    @Test("BI-23: an Accept that cannot be met refuses before anything is done")
    func acceptFirst() async throws {
        try await Bench.run(.memory) { bench in
            let code = try await bench.code("d-1")
            let body: DataItem = ["di": "d-1", "accesstoken": .text(code.reveal())]
            await bench.send(.post, OCFPath.account, body) { $0.accept = .xml }.expectError(.notAcceptable)
            #expect(try await bench.client.device(DeviceID("d-1"), call: Bench.call) == nil)
            await bench.send(.post, OCFPath.account, body) { $0.contentFormat = .text }
                .expectError(.unsupportedContentFormat)
            try await bench.send(.post, OCFPath.account, body).expectItem(.changed)
        }
    }

    @Test("BI-23: payloads in 10000, 60, 50 and without Content-Format are taken; others are 4.15")
    func contentFormats() async throws {
        try await Bench.run(.memory) { bench in
            let device = try await bench.signedUp()
            let item = SessionRequest.signIn(uid: device.uid, di: device.di, accessToken: device.tokens.accessToken)
                .item
            for (format, payload) in [
                (.ocfCBOR, item.encoded()), (.cbor, item.encoded()), (nil, item.encoded()),
                (.json, JSONCoding.encode(item)),
            ] as [(ContentFormat?, ByteBuffer)] {
                var request = Request(ocf: .post, path: OCFPath.session, item: item)
                request.payload = payload
                request.options.contentFormat = format
                request.options.ocfVersion = nil
                let response = await bench.responder.respond(to: request)
                #expect(try response.expectItem(.changed) == ["expiresin": 6000], "\(String(describing: format))")
            }
            for format in [.text, .linkFormat, .xml, .octetStream, ContentFormat(rawValue: 61)] as [ContentFormat] {
                await bench.send(.post, OCFPath.session, item) { $0.contentFormat = format }
                    .expectError(.unsupportedContentFormat)
            }
            // A format that does not fit the payload.
            await bench.send(.post, OCFPath.session, item) { $0.contentFormat = .json }.expectError(.badRequest)
        }
    }

    @Test("BI-31: JSON that no parser should take is 4.00")
    func hostileJSON() async throws {
        try await Bench.run(.memory) { bench in
            for text in [
                String(repeating: "[", count: 100_000), "{\"\(String(repeating: "k", count: 1_000_000))\":1}",
                "{} x", "\u{FEFF}{}", "{\"di\":\"\\ud800\"}", "{/**/}", "{\"ttl\":1e999}", "{\"di\":1,\"di\":2}", "",
            ] {
                var request = Request(ocf: .post, path: OCFPath.account, item: .null)
                request.options.contentFormat = .json
                request.payload = text.isEmpty ? nil : ByteBuffer(string: text)
                await bench.responder.respond(to: request).expectError(.badRequest)
            }
        }
    }

    @Test("BI-28, BI-29: CBOR without break, too deep, or declaring too much is 4.00")
    func hostileCBOR() async throws {
        try await Bench.run(.memory) { bench in
            for payload in [
                [0xBF], [0x9F, 0x01], [0x7F, 0x61, 0x61], Array(repeating: 0x81, count: 10_000),
                [0xBA, 0xFF, 0xFF, 0xFF, 0xFF, 0x00], [0xA2, 0x01, 0x01, 0x01, 0x01], [0xA1, 0x01, 0x02],
                [0xF9, 0x7E, 0x00],
            ] as [[UInt8]] {
                var request = Request(ocf: .post, path: OCFPath.account, item: .null)
                request.payload = ByteBuffer(bytes: payload)
                await bench.responder.respond(to: request).expectError(.badRequest)
            }
        }
    }

    @Test("BI-29: a payload that says of itself to be CBOR is read without that tag")
    func selfDescribed() async throws {
        try await Bench.run(.memory) { bench in
            let device = try await bench.signedUp()
            let item = DataItem.tagged(55799, publication("d-1", ["/a"]))
            await bench.send(.post, OCFPath.directory, item, as: device).expect(.changed)
            await bench.send(.post, OCFPath.directory, .tagged(24, item), as: device).expectError(.badRequest)
        }
    }

    @Test("C-66: links that are not discoverable are not listed; without p a link is")
    func discoverable() async throws {
        try await Bench.run(.memory) { bench in
            let device = try await bench.signedUp()
            func link(_ href: String, _ p: DataItem?) -> DataItem {
                let base: [DataItem.Pair] = [.init("href", .text(href)), .init("rt", ["a"]), .init("if", ["b"])]
                return .map(base + (p.map { [.init("p", $0)] } ?? []))
            }
            let links: DataItem = [
                link("/0", ["bm": 0]), link("/1", ["bm": 1]), link("/2", ["bm": 2]), link("/3", ["bm": 3]),
                link("/4", nil), link("/5", [:]), link("/6", ["bm": 255]),
            ]
            await bench.send(.post, OCFPath.directory, ["di": "d-1", "ttl": 0, "links": links], as: device)
                .expect(.changed)
            #expect(try await bench.discovered(by: device) == ["/d-1/1", "/d-1/3", "/d-1/4", "/d-1/5", "/d-1/6"])
            let found = try await bench.send(.get, OCFPath.discovery, as: device).expectItem(.content)
            #expect(found.elements?.map { $0["p"]?["bm"]?.integer } == [1, 3, 1, 1, 255])
        }
    }

    @Test("C-67: 2053 only answers a request that carried 2049 or 2053")
    func versions() async throws {
        try await Bench.run(.memory) { bench in
            let device = try await bench.signedUp()
            for (accepted, sent, expected) in [
                (OCFVersion.v1_0_0, nil, true), (nil, .v1_0_0, true), (.v1_1_0, .v1_1_0, true), (nil, nil, false),
            ] as [(OCFVersion?, OCFVersion?, Bool)] {
                let response = await bench.send(.get, OCFPath.discovery, as: device) {
                    $0.ocfAcceptVersion = accepted
                    $0.ocfVersion = sent
                }
                response.expect(.content)
                #expect((response.options.ocfVersion == .v1_0_0) == expected)
                #expect(response.options.contains(.ocfContentFormatVersion) == expected)
            }
            await bench.send(.get, OCFPath.discovery, as: device) { $0.ocfAcceptVersion = OCFVersion(rawValue: 4096) }
                .expectError(.notAcceptable)
            await bench.send(.get, OCFPath.discovery, as: device) { $0.ocfVersion = OCFVersion(rawValue: 0) }
                .expectError(.unsupportedContentFormat)
        }
    }

    @Test("oic/res takes GET only, and is 5.03 while the store is down; unknown paths are 4.04")
    func methods() async throws {
        try await Bench.run(.memory) { bench in
            let device = try await bench.signedUp()
            for method in [Code.post, .put, .delete, .fetch] {
                await bench.send(method, OCFPath.discovery, as: device).expectError(.methodNotAllowed)
            }
            for path in [["oic", "d"], [], ["oic", "res", ""], ["OIC", "res"], ["x"]] {
                await bench.send(.get, path, as: device).expectError(.notFound)
            }
            var request = Request(.get)
            request.options.append(.uriPath, bytes: [0xFF])
            request.options.sessionUser = "u-1"
            await bench.responder.respond(to: request).expectError(.badRequest)
            bench.store.fail(true)
            await bench.send(.get, OCFPath.discovery, as: device).expectError(.serviceUnavailable)
        }
    }
}
