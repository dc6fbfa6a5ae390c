import CBOR
import Cloud
import CoAP
import Logging
import NIOCore
import OCF
import Registry
import ServiceShell
import Testing

@testable import RegistryReach

@Suite("Long answers, page by page", .timeLimit(.minutes(5)))
struct PagingTests {
    /// A registry over a store in memory with one user and his devices.
    private struct Bench {
        let registry: RegistryResponder
        let store = InMemoryCloudStore()
        let directory: Directory
        let uid = UserID(stored: "alice")

        init() throws {
            let key = try #require(Secret("0123456789abcdef0123456789abcdef"))
            let logger = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }
            self.directory = Directory(store: self.store)
            self.registry = RegistryResponder(
                identity: Identity(store: self.store, sealer: try ReplySealer(keys: [key])),
                directory: self.directory, accessLog: AccessLog(mode: .off, logger: logger), logger: logger)
        }

        func fill(devices: Int, links: Int) async throws {
            try await self.store.write { [uid] transaction throws(CloudError) in
                try transaction.insert(User(uid: uid, authProvider: "", createdAt: Timestamp(milliseconds: 0)))
                for number in 0..<devices {
                    let di = DeviceID(stored: "device-\(1000 + number)")
                    try transaction.insert(
                        Device(
                            di: di, uid: uid, kind: .device, name: String(repeating: "n", count: 200),
                            createdAt: Timestamp(milliseconds: 0)))
                    for ins in 1...max(1, links) where links > 0 {
                        try transaction.insert(
                            Link(
                                href: "/l/\(ins)", resourceTypes: [ins.isMultiple(of: 50) ? "x.rare" : "x.link"],
                                interfaces: ["oic.if.a"], policy: .discoverable, ins: ins),
                            of: di)
                    }
                }
            }
        }

        func run(_ body: (Bench) async throws -> Void) async throws {
            try await withThrowingTaskGroup(of: Void.self) { group in
                group.addTask { await self.registry.run() }
                let result: Result<Void, any Error>
                do { result = .success(try await body(self)) } catch { result = .failure(error) }
                group.cancelAll()
                try result.get()
            }
        }

        func discovery(_ queries: [String] = [], format: ContentFormat = .ocfCBOR) -> Request {
            var request = Request(ocf: .get, path: OCFPath.discovery, queries: queries)
            request.options.sessionUser = self.uid.text
            request.options.accept = format
            return request
        }
    }

    @Test("5,000 links come in pages of at most 64 KiB, and joined as they would in one answer, in each form")
    func links() async throws {
        let bench = try Bench()
        try await bench.fill(devices: 100, links: 50)
        try await bench.run { bench in
            let hrefs = (0..<100).flatMap { device in (1...50).map { "/device-\(1000 + device)/l/\($0)" } }
            for (queries, format) in [
                ([], ContentFormat.ocfCBOR), ([], .json), ([], .cbor), (["if=oic.if.baseline"], .ocfCBOR),
                (["if=oic.if.b"], .ocfCBOR),
            ] {
                // By hand.
                var request = bench.discovery(queries, format: format)
                var pages = 0
                repeat {
                    let response = await bench.registry.respond(to: request)
                    #expect(response.code == .content)
                    #expect((response.payload?.readableBytes ?? 0) <= RegistryProtocol.pageBytes)
                    request.options.page = response.options.page
                    pages += 1
                } while request.options.page != nil
                #expect(pages > 3)
                // Joined.
                let joined = await PagingRegistry(bench.registry).respond(
                    to: bench.discovery(queries, format: format))
                #expect(joined.code == .content)
                #expect(!joined.options.hasInternal)
                #expect(joined.options.contentFormat == format)
                let elements = try joined.item(limits: DecodingLimits(bytes: 16 << 20, items: 4 << 20))?.elements ?? []
                if format == .cbor {
                    #expect(elements.count == 100)
                } else if queries == ["if=oic.if.baseline"] {
                    #expect(elements.count == 1)
                }
                let links = elements.flatMap { $0["links"]?.elements ?? [$0] }
                #expect(links.compactMap { $0["href"]?.string } == hrefs)
            }
        }
    }

    @Test("A filter that few links meet gives pages that are empty; joined, it gives them all")
    func rare() async throws {
        let bench = try Bench()
        try await bench.fill(devices: 120, links: 50)
        try await bench.run { bench in
            let first = await bench.registry.respond(to: bench.discovery(["rt=x.rare"]))
            #expect(first.options.page != nil)
            let client = RegistryClient(PagingRegistry(bench.registry))
            let call = RegistryClient.Call(requestID: "r", deadline: .seconds(60))
            let links = try await client.links(
                of: bench.uid, request: DiscoveryRequest(resourceTypes: ["x.rare"]), call: call)
            #expect(links.elements?.count == 120)
            #expect(try await client.links(of: bench.uid, call: call).elements?.count == 6000)
        }
    }

    @Test("1,000 devices in one list, and no more than were asked for")
    func devices() async throws {
        let bench = try Bench()
        try await bench.fill(devices: 1000, links: 0)
        try await bench.run { bench in
            let client = RegistryClient(PagingRegistry(bench.registry))
            let call = RegistryClient.Call(requestID: "r", deadline: .seconds(60))
            let all = try await client.devices(of: bench.uid, limit: 1000, call: call)
            #expect(all.map(\.di.text) == (0..<1000).map { "device-\(1000 + $0)" })
            let some = try await client.devices(
                of: bench.uid, after: DeviceID(stored: "device-1100"), limit: 700, call: call)
            #expect(some.map(\.di.text) == (101..<801).map { "device-\(1000 + $0)" })
        }
    }

    @Test("Too many links or bytes are 4.13 with what to do; too late is 5.03; a page that fails fails the answer")
    func limits() async throws {
        let page = ScriptedRegistry { request in
            var response = Negotiation.ocf.response(.content, .array((0..<100).map { ["href": .text("/\($0)")] }))
            response.options.page = "next"
            return response
        }
        for limits in [PagingRegistry.Limits(items: 450), PagingRegistry.Limits(bytes: 4000)] {
            let paging = PagingRegistry(page, limits: limits)
            let refused = await paging.respond(to: Request(ocf: .get, path: OCFPath.discovery))
            #expect(refused.code == .requestEntityTooLarge)
            #expect(refused.diagnostic?.contains("di=") == true)
        }
        #expect(
            await PagingRegistry(page, limits: PagingRegistry.Limits(joins: 0))
                .respond(to: Request(ocf: .get, path: OCFPath.discovery)).code == .serviceUnavailable)
        var late = Request(ocf: .get, path: OCFPath.discovery)
        late.options.deadlineMilliseconds = 0
        #expect(await PagingRegistry(page).respond(to: late).options.undelivered == .late)
        let failing = ScriptedRegistry { request in
            guard request.options.page == nil else { return Response(.serviceUnavailable, diagnostic: "down") }
            var response = Negotiation.ocf.response(.content, ["a"])
            response.options.page = "next"
            return response
        }
        let answer = await PagingRegistry(failing).respond(to: Request(ocf: .get, path: OCFPath.discovery))
        #expect(answer.code == .serviceUnavailable)
    }

    @Test("A page that nobody gave out is 4.00")
    func wrongCursor() async throws {
        let bench = try Bench()
        try await bench.fill(devices: 1, links: 1)
        try await bench.run { bench in
            for text in ["", "x", "1", "1/", "x/y", "-/d"] {
                var request = bench.discovery()
                request.options.page = text
                #expect(await bench.registry.respond(to: request).code == .badRequest)
            }
        }
    }
}
