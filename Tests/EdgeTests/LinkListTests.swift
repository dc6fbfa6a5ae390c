import CBOR
import CoAP
import NIOCore
import Testing

@testable import Edge

@Suite("Lists of links that come from a device")
struct LinkListTests {
    private static let links: DataItem = [
        .map(["href": "/light", "rt": ["x.light"], "eps": [.map(["ep": "coap://192.0.2.7"])]]),
        .map(["href": "ocf://other/clock", "rt": ["x.clock"]]),
    ]

    private static func content(_ item: DataItem, _ format: ContentFormat? = .ocfCBOR) -> Response {
        var response = Response(.content, payload: item.encoded())
        response.options.contentFormat = format
        return response
    }

    private static func ask(
        _ path: [String], queries: [String] = [], method: Code = .get, endpoint: String? = "coap+tcp://cloud:5683",
        _ response: Response
    ) async throws -> Response {
        var request = Request(method, path: ["lamp"] + path, queries: queries)
        request.options.fence = .init(uid: "alice")
        request.options.endpoint = endpoint
        return try #require(await EdgeBench(ScriptedResponder(.answer(response))).ask(request))
    }

    private static func links(_ response: Response) throws -> [DataItem] {
        let payload = try #require(response.payload)
        return try #require(DataItem(decoding: payload).elements)
    }

    @Test("Links of /oic/res and of the links interface lead through the cloud; absolute ones stay")
    func rewritten() async throws {
        var response = Self.content(Self.links)
        response.options.append(.eTag, bytes: [1])
        for (path, queries) in [(["oic", "res"], []), (["col"], ["if=oic.if.ll"])] {
            let answer = try await Self.ask(path, queries: queries, response)
            let links = try Self.links(answer)
            #expect(links[0]["href"] == "/lamp/light")
            #expect(links[0]["rt"] == ["x.light"])
            #expect(links[0]["eps"] == [.map(["ep": "coap+tcp://cloud:5683", "pri": 1])])
            #expect(links[1] == .map(["href": "ocf://other/clock", "rt": ["x.clock"]]))
            // Another payload is another representation (RFC 7252 §5.10.6).
            #expect(!answer.options.contains(.eTag))
            #expect(answer.options.contentFormat == .ocfCBOR)
        }
    }

    @Test("Without an address to name, the device's own addresses go all the same")
    func noEndpoint() async throws {
        let answer = try await Self.ask(["oic", "res"], endpoint: nil, Self.content(Self.links))
        #expect(try Self.links(answer)[0]["eps"] == nil)
    }

    @Test("Groups of links are rewritten inside")
    func groups() async throws {
        let grouped: DataItem = [.map(["di": "lamp", "links": Self.links])]
        let answer = try await Self.ask(["oic", "res"], Self.content(grouped))
        #expect(try Self.links(answer)[0]["links"]?.elements?.first?["href"] == "/lamp/light")
    }

    @Test("Everything else passes byte for byte")
    func untouched() async throws {
        let list = Self.content(Self.links)
        #expect(try await Self.ask(["col"], list) == list)
        #expect(try await Self.ask(["oic", "res"], method: .post, list) == list)
        for other in [
            Self.content(["text"]), Self.content([.map(["n": "no link"])]), Self.content(.map(["href": "/light"])),
            Self.content(Self.links, .json), Self.content(Self.links, nil), Response(.notFound),
            Response(.content, options: list.options, payload: ByteBuffer(bytes: [0x9F, 0x01])),
        ] {
            #expect(try await Self.ask(["oic", "res"], other) == other)
        }
    }
}
