import CBOR
import CoAP
import FoundationEssentials
import NIOCore
import TestSupport
import Testing

@Suite("Publishing and unpublishing on a real socket, conformance ideas 54–62")
struct ConformanceDirectoryTests {
    private static func link(_ href: String, _ more: KeyValuePairs<String, DataItem> = [:]) -> DataItem {
        .map(
            [.init("href", .text(href)), .init("rt", ["x.test"]), .init("if", ["oic.if.baseline"])]
                + more.map { .init(.text($0.key), $0.value) })
    }

    private static func publish(_ di: String, _ links: DataItem, ttl: DataItem? = 0) -> Request {
        var pairs: [DataItem.Pair] = [.init("di", .text(di)), .init("links", links)]
        if let ttl { pairs.append(.init("ttl", ttl)) }
        return .ocf(.post, "oic/rd", queries: ["rt=oic.wk.rdpub"], .map(pairs))
    }

    private static func numbers(_ answer: Message) throws -> [Int64] {
        try #require(answer.item?["links"]?.elements).compactMap { $0["ins"]?.integer }
    }

    @Test("C-54, C-55, BI-40: links come back in order with their numbers; publishing them again changes none")
    func publish() async throws {
        try await RunningGateway.with { gateway in
            let device = try await gateway.owner("alice").device("lamp")
            let request = Self.publish(
                "lamp", [Self.link("/b", ["ins": 77]), Self.link("/a", ["x": true])], ttl: 3600)
            let answer = try await device.peer.ask(request)
            #expect(answer.code == .changed)
            #expect(answer.options.contentFormat == .ocfCBOR)
            #expect(answer.item?["ttl"] == 3600)
            #expect(answer.item?["di"] == "lamp")
            let links = try #require(answer.item?["links"]?.elements)
            #expect(links.map { $0["href"] } == ["/b", "/a"])
            #expect(links[1]["x"] == true)
            let numbers = try Self.numbers(answer)
            #expect(Set(numbers).count == 2)
            let again = try Self.numbers(await device.peer.ask(request))
            #expect(again == numbers)
            // The same href twice in one message is one link, and both entries get its number.
            let twice = try Self.numbers(
                await device.peer.ask(Self.publish("lamp", [Self.link("/a"), Self.link("//a/")])))
            #expect(twice == [numbers[1], numbers[1]])
            #expect(try await device.discover().sorted() == ["/lamp/a", "/lamp/b"])
        }
    }

    @Test("C-56: ttl 0 never runs out, ttl 2 after two seconds unless it is renewed")
    func lifetime() async throws {
        try await RunningGateway.with { gateway in
            let device = try await gateway.owner("alice").device("lamp")
            _ = try await device.peer.ask(Self.publish("lamp", [Self.link("/ever")]))
            _ = try await device.peer.ask(Self.publish("lamp", [Self.link("/short")], ttl: 2))
            let start = ContinuousClock.now
            while start.duration(to: .now) < .milliseconds(2300) {
                _ = try await device.peer.ask(Self.publish("lamp", [Self.link("/renewed")], ttl: 2))
                #expect(try await device.discover().contains("/lamp/renewed"))
            }
            #expect(try await device.discover().sorted() == ["/lamp/ever", "/lamp/renewed"])
            try await gateway.eventually("the end of the link") {
                try await device.discover() == ["/lamp/ever"]
            }
        }
    }

    @Test("C-57, C-58, BI-40: what is no publication is refused whole; rel may be a text or an array")
    func badPublications() async throws {
        try await RunningGateway.with { gateway in
            let device = try await gateway.owner("alice").device("lamp")
            let good: DataItem = [Self.link("/a")]
            let bad: [Request] = [
                Self.publish("lamp", good, ttl: nil), Self.publish("lamp", good, ttl: -1),
                Self.publish("lamp", good, ttl: "0"), Self.publish("lamp", []), Self.publish("lamp", "/a"),
                Self.publish("lamp", ["/a"]), Self.publish("lamp", [Self.link("")]),
                Self.publish("lamp", [Self.link("/a"), Self.link("b")]),
                Self.publish("lamp", good, ttl: .unsigned(1 << 63)),
                .ocf(.post, "oic/rd"),
            ]
            for request in bad {
                #expect(try await device.peer.ask(request).code == .badRequest)
            }
            #expect(try await device.discover().isEmpty)
            let rel = Self.publish(
                "lamp", [Self.link("/a", ["rel": "hosts"]), Self.link("/b", ["rel": ["hosts", "item"]])])
            #expect(try await device.peer.ask(rel).code == .changed)
            // The greatest lifetime there is.
            let long = Self.publish("lamp", good, ttl: .unsigned((1 << 63) - 1))
            let answer = try await device.peer.ask(long)
            #expect(answer.code == .changed || answer.code == .badRequest)
            #expect(try await device.discover().contains("/lamp/a"))
        }
    }

    @Test("C-59, BI-40: before sign-in 4.01; for another device 4.03, and nothing is stored")
    func foreign() async throws {
        try await RunningGateway.with { gateway in
            let owner = try await gateway.owner("alice")
            let login = try await owner.signedUp("lamp")
            #expect(try await login.peer.ask(.publish(di: "lamp", hrefs: ["/light"])).code == .unauthorized)
            let device = try await login.signIn()
            let other = try await owner.device("fan")
            #expect(try await other.peer.ask(.publish(di: "lamp", hrefs: ["/light"])).code == .forbidden)
            #expect(
                try await other.peer.ask(Self.publish("fan", [Self.link("/x", ["anchor": "ocf://lamp"])])).code
                    == .forbidden)
            #expect(try await device.discover().isEmpty)
        }
    }

    @Test("C-60: 150 links in one message of 14 KB are taken")
    func many() async throws {
        try await RunningGateway.with { gateway in
            let device = try await gateway.owner("alice").device("lamp")
            let request = Self.publish(
                "lamp",
                // A number in each, as the reference device sends it: the answer is no longer than the request.
                .array(
                    (0..<150).map {
                        Self.link("/resource/\($0)", ["ins": .unsigned(1_231_433_875), "title": "one of many links"])
                    }))
            #expect((request.payload?.readableBytes ?? 0) > 12_000)
            let answer = try await device.peer.ask(request)
            #expect(answer.code == .changed)
            #expect(try Set(Self.numbers(answer)).count == 150)
        }
    }

    @Test("C-61, BI-41: links are taken back by number, all of them without one, never another device's")
    func unpublish() async throws {
        try await RunningGateway.with { gateway in
            let owner = try await gateway.owner("alice")
            let device = try await owner.device("lamp")
            let other = try await owner.device("fan")
            try await other.publish("/speed")
            let numbers = try Self.numbers(await device.publish("/a", "/b", "/c"))
            func delete(_ queries: String...) async throws -> Code {
                try await device.peer.ask(.ocf(.delete, "oic/rd", queries: queries)).code
            }
            #expect(try await delete("di=lamp", "ins=\(numbers[1])") == .deleted)
            #expect(try await device.discover().sorted() == ["/fan/speed", "/lamp/a", "/lamp/c"])
            #expect(try await delete("di=lamp", "ins=\(numbers[1])") == .notFound)
            #expect(try await delete("di=lamp", "ins=99999999999999999999") == .badRequest)
            #expect(try await delete("di=lamp", "ins=abc") == .badRequest)
            #expect(try await delete("di=lamp", "ins=-1") == .badRequest)
            #expect(try await delete("di=lamp", "di=lamp") == .badRequest)
            #expect(try await delete() == .badRequest)
            #expect(try await delete("di=fan") == .forbidden)
            #expect(try await delete("di=lamp") == .deleted)
            #expect(try await delete("di=lamp") == .notFound)
            #expect(try await device.discover() == ["/fan/speed"])
            // A number that became free is not given to the next link.
            let next = try Self.numbers(await device.publish("/a"))
            #expect(next.count == 1 && Set(next).isDisjoint(with: numbers))
        }
    }

    @Test("C-62: links outlive the connection, and the gateway")
    func reconnect() async throws {
        let directory = FileManager.default.temporaryDirectory.path + "/gateway-\(UUID().uuidString)"
        defer { try? FileManager.default.removeItem(atPath: directory) }
        let login = try await RunningGateway.with(dataDirectory: directory) { gateway in
            let owner = try await gateway.owner("alice")
            let device = try await owner.device("lamp")
            try await device.publish("/light")
            await device.peer.close()
            let again = try await device.login.signIn(on: gateway.connect())
            #expect(try await again.discover() == ["/lamp/light"])
            return device.login
        }
        try await RunningGateway.with(dataDirectory: directory) { gateway in
            let device = try await login.signIn(on: gateway.connect())
            #expect(try await device.discover() == ["/lamp/light"])
        }
    }

    @Test("BI-40: 10,000 links in one message are too many, and none is stored")
    func tooMany() async throws {
        try await RunningGateway.with { gateway in
            let device = try await gateway.owner("alice").device("lamp")
            let link: DataItem = .map(["href": "/a", "rt": ["x"], "if": ["y"]])
            let answer = try await device.peer.ask(
                Self.publish("lamp", .array([DataItem](repeating: link, count: 10_000))))
            #expect(answer.code == .requestEntityTooLarge)
            #expect(try await device.discover().isEmpty)
        }
    }
}
