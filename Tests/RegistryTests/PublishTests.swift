import CBOR
import Cloud
import CoAP
import NIOCore
import OCF
import Registry
import Testing

@Suite("Publish and unpublish (OCF Core, oic.wk.rd)")
struct PublishTests {
    @Test("C-54: two links come back in order with unique integers ins and the ttl", arguments: StoreKind.allCases)
    func publish(_ kind: StoreKind) async throws {
        try await Bench.run(kind) { bench in
            let device = try await bench.signedUp()
            let response = await bench.send(
                .post, OCFPath.directory, queries: ["rt=oic.wk.rdpub"],
                publication("d-1", ["/light", "/dimmer"], ttl: 100), as: device)
            let item = try response.expectItem(.changed)
            #expect(item["di"] == "d-1")
            #expect(item["ttl"] == 100)
            let links = try #require(item["links"]?.elements)
            #expect(links.map { $0["href"] } == ["/light", "/dimmer"])
            #expect(Set(links.compactMap { $0["ins"]?.integer }).count == 2)
        }
    }

    @Test(
        "C-55, BI-40: the same href again keeps its ins and stays one link, also twice in one message",
        arguments: StoreKind.allCases)
    func again(_ kind: StoreKind) async throws {
        try await Bench.run(kind) { bench in
            let device = try await bench.signedUp()
            let first = try await bench.publish(["/a", "/b"], of: device)
            #expect(try await bench.publish(["/b"], of: device) == [first[1]])
            #expect(try await bench.publish(["/b", "//b/", "/c"], of: device).prefix(2) == [first[1], first[1]])
            #expect(try await bench.discovered(by: device) == ["/d-1/a", "/d-1/b", "/d-1/c"])
        }
    }

    @Test("BI-40: what is deleted and published anew equal gets another ins", arguments: StoreKind.allCases)
    func recreated(_ kind: StoreKind) async throws {
        try await Bench.run(kind) { bench in
            let device = try await bench.signedUp()
            let first = try await bench.publish(["/a"], of: device)
            await bench.send(.delete, OCFPath.directory, queries: ["di=d-1"], as: device).expect(.deleted)
            let second = try await bench.publish(["/a"], of: device)
            #expect(second != first)
            // A deletion that comes late cannot hit the new one.
            await bench.send(.delete, OCFPath.directory, queries: ["di=d-1", "ins=\(first[0])"], as: device)
                .expectError(.notFound)
        }
    }

    @Test(
        "C-56, BI-40: ttl 0 never expires; ttl 2 is gone after 2 s unless renewed; huge is merely long",
        arguments: StoreKind.allCases)
    func ttl(_ kind: StoreKind) async throws {
        try await Bench.run(kind) { bench in
            let device = try await bench.signedUp()
            _ = try await bench.publish(["/for-ever"], of: device)
            _ = try await bench.publish(["/short", "/renewed"], of: device, ttl: 2)
            _ = try await bench.publish(["/huge"], of: device, ttl: .max)
            bench.clock.advance(.seconds(1))
            _ = try await bench.publish(["/renewed"], of: device, ttl: 2)
            bench.clock.advance(.seconds(1))
            #expect(try await Set(bench.discovered(by: device)) == ["/d-1/for-ever", "/d-1/renewed", "/d-1/huge"])
            bench.clock.advance(.seconds(1_000_000_000))
            #expect(try await Set(bench.discovered(by: device)) == ["/d-1/for-ever", "/d-1/huge"])
        }
    }

    @Test("C-57, BI-30: a publication with a wrong or missing member is 4.00 and stores nothing")
    func malformed() async throws {
        try await Bench.run(.memory) { bench in
            let device = try await bench.signedUp()
            func without(_ key: String) -> DataItem {
                .map((publication("d-1", ["/a"]).pairs ?? []).filter { $0.key != .text(key) })
            }
            func with(_ key: String, _ value: DataItem) -> DataItem {
                .map((without(key).pairs ?? []) + [.init(.text(key), value)])
            }
            func link(with key: String, _ value: DataItem?) -> DataItem {
                let pairs = (RegistryTests.link("/a").pairs ?? []).filter { $0.key != .text(key) }
                return with("links", [.map(pairs + (value.map { [.init(.text(key), $0)] } ?? []))])
            }
            for (item, field) in [
                (without("di"), "di"), (without("ttl"), "ttl"), (without("links"), "links"), (with("ttl", -1), "ttl"),
                (with("ttl", "1"), "ttl"), (with("ttl", 1.0), "ttl"), (with("ttl", .unsigned(1 << 63)), "ttl"),
                (with("ttl", .negative(.max)), "ttl"), (with("ttl", .null), "ttl"), (with("links", []), "links"),
                (with("links", [:]), "links"), (with("links", ["a"]), "links[0]"), (with("n", 1), "n"),
                (link(with: "href", nil), "links[0].href"), (link(with: "href", ""), "links[0].href"),
                (link(with: "href", "a"), "links[0].href"), (link(with: "href", "/"), "links[0].href"),
                (link(with: "href", "/a\u{0}"), "links[0].href"), (link(with: "href", "/../a"), "links[0].href"),
                (link(with: "href", 1), "links[0].href"), (link(with: "rt", nil), "links[0].rt"),
                (link(with: "rt", []), "links[0].rt"), (link(with: "rt", "oic.r.light"), "links[0].rt"),
                (link(with: "rt", [1]), "links[0].rt[0]"), (link(with: "if", nil), "links[0].if"),
                (link(with: "p", 3), "links[0].p"), (link(with: "p", ["bm": -1]), "links[0].p.bm"),
                (link(with: "p", ["bm": "3"]), "links[0].p.bm"), (link(with: "ins", "7"), "links[0].ins"),
                (link(with: "ins", -1), "links[0].ins"),
            ] as [(DataItem, String)] {
                await bench.send(.post, OCFPath.directory, item, as: device).expectError(.badRequest, field: field)
            }
            await bench.send(.post, OCFPath.directory, as: device).expectError(.badRequest)
            #expect(try await bench.discovered(by: device) == [])
        }
    }

    @Test("C-58: rel as text and as array are both kept as they came")
    func opaque() async throws {
        try await Bench.run(.memory) { bench in
            let device = try await bench.signedUp()
            let links: DataItem = [
                link("/a", [.init("rel", "hosts"), .init("title", "A"), .init("tag-x", 7)]),
                link("/b", [.init("rel", ["hosts", "item"]), .init("eps", [["ep": "coap://10.0.0.1:1"]])]),
            ]
            let answer = try await bench.send(
                .post, OCFPath.directory, ["di": "d-1", "lt": 0, "links": links], as: device
            ).expectItem(.changed)
            #expect(answer["lt"] == 0)
            #expect(answer["links"]?.elements?.map { $0["rel"] } == ["hosts", ["hosts", "item"]])
            let found = try await bench.send(.get, OCFPath.discovery, as: device).expectItem(.content)
            #expect(found.elements?.map { $0["rel"] } == ["hosts", ["hosts", "item"]])
            #expect(found.elements?.first?["title"] == "A")
            #expect(found.elements?.first?["tag-x"] == 7)
            // The device's own address is of no use out here.
            #expect(found.elements?.last?["eps"] == [["ep": "coap+tcp://127.0.0.1:5683", "pri": 1]])
        }
    }

    @Test("C-59, BI-40: without session 4.01; for another device, in di, link or anchor, 4.03 and nothing stored")
    func foreign() async throws {
        try await Bench.run(.memory) { bench in
            let device = try await bench.signedUp("d-1")
            let other = try await bench.signedUp("d-2")
            await bench.send(.post, OCFPath.directory, publication("d-1", ["/a"])).expectError(.unauthorized)
            for item in [
                publication("d-2", ["/a"]),
                ["di": "d-1", "ttl": 0, "links": [link("/a"), link("/b", [.init("di", "d-2")])]],
                ["di": "d-1", "ttl": 0, "links": [link("/a"), link("/b", [.init("anchor", "ocf://d-2")])]],
            ] as [DataItem] {
                await bench.send(.post, OCFPath.directory, item, as: device).expectError(.forbidden)
            }
            #expect(try await bench.discovered(by: other) == [])
            let own: DataItem = [
                "di": "d-1", "ttl": 0,
                "links": [link("/a", [.init("di", "d-1"), .init("anchor", "ocf://d-1")])],
            ]
            await bench.send(.post, OCFPath.directory, own, as: device).expect(.changed)
        }
    }

    @Test("C-60: 150 links in one message of 14 KB", arguments: StoreKind.allCases)
    func many(_ kind: StoreKind) async throws {
        try await Bench.run(kind) { bench in
            let device = try await bench.signedUp()
            let item = publication("d-1", (0..<150).map { "/a/longer/resource/number/\($0)" })
            #expect(item.encoded().readableBytes > 14_000)
            let answer = try await bench.send(.post, OCFPath.directory, item, as: device).expectItem(.changed)
            #expect(answer["links"]?.elements?.count == 150)
            #expect(try await bench.discovered(by: device).count == 150)
        }
    }

    @Test("BI-40: 10,000 links, too long an href, type or rest are 4.13 and store nothing")
    func tooMany() async throws {
        try await Bench.run(.memory) { bench in
            let device = try await bench.signedUp()
            for item in [
                publication("d-1", (0..<10_000).map { "/\($0)" }), publication("d-1", (0..<1001).map { "/\($0)" }),
                publication("d-1", ["/" + String(repeating: "a", count: 256)]),
                ["di": "d-1", "ttl": 0, "links": [link("/a", rt: [String(repeating: "a", count: 65)])]],
                ["di": "d-1", "ttl": 0, "links": [link("/a", rt: Array(repeating: "a", count: 1000))]],
                [
                    "di": "d-1", "ttl": 0,
                    "links": [link("/a", [.init("title", .text(String(repeating: "a", count: 9000)))])],
                ],
            ] as [DataItem] {
                await bench.send(.post, OCFPath.directory, item, as: device).expectError(.requestEntityTooLarge)
            }
            _ = try await bench.publish((0..<1000).map { "/\($0)" }, of: device)
            await bench.send(.post, OCFPath.directory, publication("d-1", ["/one-more"]), as: device)
                .expectError(.requestEntityTooLarge)
            #expect(try await bench.discovered(by: device).count == 1000)
        }
    }

    @Test("C-61, BI-41: one ins goes, no ins means all, unknown 4.04, malformed 4.00", arguments: StoreKind.allCases)
    func unpublish(_ kind: StoreKind) async throws {
        try await Bench.run(kind) { bench in
            let device = try await bench.signedUp("d-1")
            let other = try await bench.signedUp("d-2", of: "u-2")
            let ins = try await bench.publish(["/a", "/b", "/c"], of: device)
            _ = try await bench.publish(["/x", "/y", "/z", "/0"], of: other)
            let foreign = try await bench.publish(["/w"], of: other)
            for (queries, code) in [
                ([], .badRequest), (["ins=\(ins[0])"], .badRequest), (["di=d-1", "di=d-1"], .badRequest),
                (["di=d-1", "ins=abc"], .badRequest), (["di=d-1", "ins="], .badRequest),
                (["di=d-1", "ins=-1"], .badRequest), (["di=d-1", "ins=99"], .notFound),
                (["di=d-1", "ins=18446744073709551615"], .notFound),
                (["di=d-1", "ins=18446744073709551616"], .badRequest), (["di=d-2"], .forbidden),
                (["di=d-1", "ins=\(foreign[0])"], .notFound),
            ] as [([String], Code)] {
                await bench.send(.delete, OCFPath.directory, queries: queries, as: device).expectError(code)
            }
            let one = await bench.send(
                .delete, OCFPath.directory, queries: ["di=d-1", "ins=\(ins[1])"], as: device)
            #expect(one == Response(.deleted))
            #expect(try await bench.discovered(by: device) == ["/d-1/a", "/d-1/c"])
            await bench.send(.delete, OCFPath.directory, queries: ["di=d-1"], as: device).expect(.deleted)
            #expect(try await bench.discovered(by: device) == [])
            await bench.send(.delete, OCFPath.directory, queries: ["di=d-1"], as: device).expectError(.notFound)
            await bench.send(.delete, OCFPath.directory, queries: ["di=d-1"]).expectError(.unauthorized)
            #expect(try await bench.discovered(by: other).count == 5)
        }
    }

    @Test("C-62: after a new sign-in without a publication the links are still there")
    func afterReconnect() async throws {
        try await Bench.run(.memory) { bench in
            let device = try await bench.signedUp()
            _ = try await bench.publish(["/a"], of: device)
            await bench.send(.post, OCFPath.session, ["login": false], as: device).expect(.changed)
            await bench.signIn(device).expect(.changed)
            #expect(try await bench.discovered(by: device) == ["/d-1/a"])
        }
    }

    @Test("OCF Core, oic.wk.rd: GET tells the bias; PUT is 4.05; the store down is 5.03")
    func directory() async throws {
        try await Bench.run(.memory) { bench in
            let device = try await bench.signedUp()
            let item = try await bench.send(.get, OCFPath.directory, as: device).expectItem(.content)
            #expect(item == ["rt": ["oic.wk.rd"], "if": ["oic.if.baseline"], "sel": 0])
            await bench.send(.put, OCFPath.directory, as: device).expectError(.methodNotAllowed)
            bench.store.fail(true)
            let response = await bench.send(.post, OCFPath.directory, publication("d-1", ["/a"]), as: device)
            response.expectError(.serviceUnavailable)
            #expect((response.options.maxAge ?? 0) > 0)
        }
    }
}
