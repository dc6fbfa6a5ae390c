import CBOR
import CoAP
import NIOCore
import TestSupport
import Testing

@Suite("Requests through the cloud to devices on real sockets, conformance ideas 68–78")
struct ConformanceRoutingTests {
    private static func get(_ path: String...) -> Request { Request(.get, path: path) }

    private static func text(_ text: String) -> Response { Response(.content, payload: ByteBuffer(string: text)) }

    @Test("C-68: a request reaches the device as it was made, its answer the client as the device made it")
    func passed() async throws {
        try await RunningGateway.with { gateway in
            let owner = try await gateway.owner("alice")
            let device = try await owner.device("lamp")
            let client = try await owner.client("phone")
            var request = Request(.get, path: ["lamp", "a b", "", "light"], queries: ["if=oic.if.rw", "x&y;z"])
            request.options.accept = .ocfCBOR
            request.options.ocfAcceptVersion = .v1_1_0
            request.options.append(.eTag, bytes: [9])
            request.options.append(.uriHost, string: "cloud.example")
            request.options.append(.uriPort, uint: 5683)
            request.options.hopLimit = 3
            request.options.observe = 1
            // Elective, unknown and safe to forward.
            request.options.append(OptionNumber(rawValue: 65000), bytes: [1])
            try await client.peer.start(request, token: Token([5]))
            let seen = try await device.peer.receivePastCSM()
            #expect(seen.code == .get)
            #expect(seen.options.path == ["a b", "", "light"])
            #expect(seen.options.queries == ["if=oic.if.rw", "x&y;z"])
            #expect(seen.options.accept == .ocfCBOR)
            #expect(seen.options.ocfAcceptVersion == .v1_1_0)
            #expect(seen.options.first(.eTag)?.bytes == [9])
            #expect(seen.options.contains(OptionNumber(rawValue: 65000)))
            for number in [OptionNumber.uriHost, .uriPort, .hopLimit, .observe] {
                #expect(!seen.options.contains(number))
            }
            #expect(!seen.options.hasInternal)
            #expect(seen.token.count == 8)

            var answer = Response(.content, payload: DataItem.map(["href": "/light"]).encoded())
            answer.options.contentFormat = .ocfCBOR
            answer.options.ocfVersion = .v1_1_0
            answer.options.append(.eTag, bytes: [1, 2, 3])
            answer.options.maxAge = 7
            answer.options.append(OptionNumber(rawValue: 65000), bytes: [2])
            try await device.peer.answer(seen, answer)
            let got = try await client.peer.receivePastCSM()
            #expect(got.token == Token([5]))
            #expect(got.code == .content)
            #expect(got.options == answer.options)
            #expect(got.payload == answer.payload)
        }
    }

    @Test("C-68: codes and payloads of every method pass unchanged, BI-42: also a 2.05 to an update and a 4.04")
    func codes() async throws {
        try await RunningGateway.with { gateway in
            let owner = try await gateway.owner("alice")
            let device = try await owner.device("lamp")
            let client = try await owner.client("phone")
            try await device.publish("/light")
            let exchanges: [(Code, Response)] = [
                (.post, Response(.content)), (.post, Response(.changed)), (.put, Response(.methodNotAllowed)),
                (.delete, Response(.deleted)), (.get, Response(.notFound, diagnostic: "no such resource")),
                (.get, Response(.unauthorized)), (.get, Response(.valid)), (.get, Response(Code(5, 30))),
                (.fetch, Response(Code(4, 30))), (.post, Response(.created)),
            ]
            for (method, response) in exchanges {
                var request = Request(method, path: ["lamp", "light"], payload: ByteBuffer(bytes: [0xA0]))
                request.options.contentFormat = .ocfCBOR
                try await client.peer.start(request)
                let seen = try await device.peer.receiveRequest(method, "light")
                #expect(seen.payload == ByteBuffer(bytes: [0xA0]))
                try await device.peer.answer(seen, response)
                let got = try await client.peer.receivePastCSM()
                #expect(got.code == response.code)
                #expect(got.payload == response.payload)
            }
            // A 4.04 of the device does not unpublish the link.
            #expect(try await client.discover() == ["/lamp/light"])
        }
    }

    @Test("A device that refuses a client as often as it asks does not cost the client its connection")
    func refusedByDevice() async throws {
        try await RunningGateway.with { gateway in
            let owner = try await gateway.owner("alice")
            let device = try await owner.device("lamp")
            let client = try await owner.client("phone")
            for _ in 0..<15 {
                try await client.peer.start(Self.get("lamp", "light"))
                let seen = try await device.peer.receiveRequest(.get, "light")
                try await device.peer.answer(seen, Response(.unauthorized))
                #expect(try await client.peer.receivePastCSM().code == .unauthorized)
            }
            try await client.peer.expectSilence()
        }
    }

    @Test("C-69: as many requests as one device may have, answered in reverse order, each client gets its own")
    func parallel() async throws {
        try await RunningGateway.with { gateway in
            let owner = try await gateway.owner("alice")
            let device = try await owner.device("lamp")
            let clients = [try await owner.client("phone"), try await owner.client("tablet")]
            // 16 in flight and 64 queued: 40 of each client.
            for index in 0..<40 {
                for client in clients {
                    try await client.peer.start(
                        Self.get("lamp", "\(client.di)-\(index)"), token: Token([UInt8(index)]))
                }
            }
            var left = 80
            while left > 0 {
                var batch: [Message] = []
                for _ in 0..<16 {
                    batch.append(try await device.peer.receivePastCSM())
                }
                #expect(Set(batch.map(\.token)).count == 16)
                for request in batch.reversed() {
                    try await device.peer.answer(request, Self.text(request.options.path?.first ?? ""))
                }
                left -= 16
            }
            for client in clients {
                var seen: Set<Token> = []
                for _ in 0..<40 {
                    let answer = try await client.peer.receivePastCSM()
                    #expect(answer.text == "\(client.di)-\(answer.token.bytes[0])")
                    seen.insert(answer.token)
                }
                #expect(seen.count == 40)
            }
        }
    }

    @Test("C-69: 100 requests of two clients to two devices, answered in reverse order, each client gets its own")
    func hundred() async throws {
        try await RunningGateway.with { gateway in
            let owner = try await gateway.owner("alice")
            let devices = [try await owner.device("lamp"), try await owner.device("plug")]
            let clients = [try await owner.client("phone"), try await owner.client("tablet")]
            for index in 0..<50 {
                for client in clients {
                    let di = devices[index % 2].di
                    try await client.peer.start(Self.get(di, "\(client.di)-\(index)"), token: Token([UInt8(index)]))
                }
            }
            var left = [50, 50]
            while left != [0, 0] {
                for (number, device) in devices.enumerated() where left[number] > 0 {
                    var batch: [Message] = []
                    for _ in 0..<min(16, left[number]) { batch.append(try await device.peer.receivePastCSM()) }
                    for request in batch.reversed() {
                        try await device.peer.answer(request, Self.text(request.options.path?.first ?? ""))
                    }
                    left[number] -= batch.count
                }
            }
            for client in clients {
                var seen: Set<Token> = []
                for _ in 0..<50 {
                    let answer = try await client.peer.receivePastCSM()
                    #expect(answer.text == "\(client.di)-\(answer.token.bytes[0])")
                    seen.insert(answer.token)
                }
                #expect(seen.count == 50)
            }
        }
    }

    @Test("81 requests at once to a silent device: 16 are sent, 64 wait, the last is refused at once")
    func full() async throws {
        try await RunningGateway.with(["REQUEST_TIMEOUT": "20"]) { gateway in
            let owner = try await gateway.owner("alice")
            let device = try await owner.device("lamp")
            try await withThrowingTaskGroup(of: HTTPTestAnswer.self) { tasks in
                for _ in 0..<81 {
                    tasks.addTask { try await gateway.http.get("/lamp/light", token: owner.token) }
                }
                let first = try await tasks.next()
                let refused = try #require(first)
                #expect(refused.status == 503)
                #expect(refused["retry-after"] != nil)
                #expect(refused.text.contains("device-busy"))
                // Nothing was answered yet; now everything is.
                for _ in 0..<80 {
                    let request = try await device.peer.receiveRequest(.get, "light")
                    try await device.peer.answer(request, Self.text("on"))
                }
                var statuses: [Int] = []
                for try await answer in tasks { statuses.append(answer.status) }
                #expect(statuses == [Int](repeating: 200, count: 80))
            }
        }
    }

    @Test("C-71, BI-42: a device that never answers is 5.04 at the deadline; its late answer falls to the ground")
    func silent() async throws {
        try await RunningGateway.with(["REQUEST_TIMEOUT": "1"]) { gateway in
            let owner = try await gateway.owner("alice")
            let device = try await owner.device("lamp")
            let client = try await owner.client("phone")
            try await client.peer.start(Self.get("lamp", "slow"))
            let slow = try await device.peer.receiveRequest(.get, "slow")
            let late = try await client.peer.receivePastCSM()
            #expect(late.code == .gatewayTimeout)
            #expect(!late.options.hasInternal)
            try await client.peer.start(Self.get("lamp", "fast"))
            let fast = try await device.peer.receiveRequest(.get, "fast")
            #expect(fast.token != slow.token)
            try await device.peer.answer(slow, Self.text("late"))
            try await device.peer.answer(fast, Self.text("in time"))
            #expect(try await client.peer.receivePastCSM().text == "in time")
            try await client.peer.expectSilence()
        }
    }

    @Test("C-72: a device that goes while it is asked is 5.02 at once", arguments: [Code.post, .delete, .get])
    func lost(method: Code) async throws {
        try await RunningGateway.with { gateway in
            let owner = try await gateway.owner("alice")
            let device = try await owner.device("lamp")
            let client = try await owner.client("phone")
            try await client.peer.start(Request(method, path: ["lamp", "light"]))
            _ = try await device.peer.receiveRequest(method, "light")
            await device.peer.close()
            let answer = try await client.peer.receivePastCSM()
            #expect(answer.code == .badGateway)
            #expect(!answer.options.hasInternal)
        }
    }

    @Test("C-72: a GET that a takeover cut off is asked once more at the new connection, a POST is not")
    func askedAgain() async throws {
        try await RunningGateway.with { gateway in
            let owner = try await gateway.owner("alice")
            let device = try await owner.device("lamp")
            let client = try await owner.client("phone")
            let get = Token([1])
            let post = Token([2])
            try await client.peer.start(Self.get("lamp", "light"), token: get)
            _ = try await device.peer.receiveRequest(.get, "light")
            try await client.peer.start(Request(.post, path: ["lamp", "light"]), token: post)
            _ = try await device.peer.receiveRequest(.post, "light")
            let second = try await device.login.signIn(on: gateway.connect())
            let again = try await second.peer.receiveRequest(.get, "light")
            try await second.peer.answer(again, Self.text("from the new place"))
            try await second.peer.expectSilence()
            let answers = [try await client.peer.receivePastCSM(), try await client.peer.receivePastCSM()]
            #expect(answers.first { $0.token == get }?.text == "from the new place")
            #expect(answers.first { $0.token == post }?.code == .badGateway)
        }
    }

    @Test("C-73: an answer with an unknown critical option is 5.02, and so is one with an option of our own programs")
    func unusableAnswer() async throws {
        try await RunningGateway.with { gateway in
            let owner = try await gateway.owner("alice")
            let device = try await owner.device("lamp")
            let client = try await owner.client("phone")
            // 65002: elective, but unsafe to forward.
            for number in [65001, 65002, 65286, 65290, 65300] as [UInt16] {
                try await client.peer.start(Self.get("lamp", "light"))
                let request = try await device.peer.receiveRequest(.get, "light")
                var response = Self.text("on")
                response.options.append(OptionNumber(rawValue: number), bytes: [1])
                try await device.peer.answer(request, response)
                let answer = try await client.peer.receivePastCSM()
                #expect(answer.code == .badGateway)
                #expect(!answer.options.hasInternal)
            }
            try await device.peer.expectSilence()
        }
    }

    @Test("C-74: an unknown device is 4.04, another user's 4.03, one that is offline 5.03 with Max-Age")
    func notThere() async throws {
        try await RunningGateway.with { gateway in
            let alice = try await gateway.owner("alice")
            let client = try await alice.client("phone")
            _ = try await gateway.owner("bob").device("radio")
            _ = try await alice.signedUp("lamp")
            #expect(try await client.peer.ask(Self.get("nobody", "light")).code == .notFound)
            #expect(try await client.peer.ask(Self.get("phone", "light")).code == .notFound)
            #expect(try await client.peer.ask(Self.get("radio", "volume")).code == .forbidden)
            let offline = try await client.peer.ask(Self.get("lamp", "light"))
            #expect(offline.code == .serviceUnavailable)
            #expect((offline.options.maxAge ?? 0) > 0)
            #expect(!offline.options.hasInternal)
        }
    }

    @Test("C-77: a critical option nobody knows is 4.02; options of our own programs never come in")
    func unknownOptions() async throws {
        try await RunningGateway.with { gateway in
            let owner = try await gateway.owner("alice")
            let device = try await owner.device("lamp")
            let client = try await owner.client("phone")
            // 65002 is elective, but a proxy that does not know it must not forward it.
            for number in [65001, 65002, 65282, 65283, 65284, 65287, 65289, 65293, 65535] as [UInt16] {
                var request = Self.get("lamp", "light")
                request.options.append(OptionNumber(rawValue: number), bytes: [1])
                #expect(try await client.peer.ask(request).code == .badOption)
            }
            var own = Request.ocf(.get, "oic/res")
            own.options.append(OptionNumber(rawValue: 65000), bytes: [1])
            own.options.append(OptionNumber(rawValue: 65002), bytes: [1])
            #expect(try await client.peer.ask(own).code == .content)
            try await device.peer.expectSilence()
        }
    }

    @Test("C-78, BI-22: Proxy-Uri is 5.05, a segment .. 4.00, an option too long for its number 4.02")
    func refusedPaths() async throws {
        try await RunningGateway.with { gateway in
            let owner = try await gateway.owner("alice")
            let client = try await owner.client("phone")
            var proxy = Self.get()
            proxy.options.append(.proxyUri, string: "coap://169.254.169.254/latest/meta-data")
            #expect(try await client.peer.ask(proxy).code == .proxyingNotSupported)
            var scheme = Self.get("lamp", "light")
            scheme.options.append(.proxyScheme, string: "http")
            #expect(try await client.peer.ask(scheme).code == .proxyingNotSupported)
            for path in [["lamp", "..", "light"], ["lamp", "."], ["..", "lamp"]] {
                #expect(try await client.peer.ask(Request(.get, path: path)).code == .badRequest)
            }
            #expect(
                try await client.peer.ask(Self.get("lamp", String(repeating: "a", count: 256))).code == .badOption)
            // Another virtual host is the same cloud: there is only one.
            var host = Request.ocf(.get, "oic/res")
            host.options.append(.uriHost, string: "169.254.169.254")
            host.options.append(.uriPort, uint: 80)
            #expect(try await client.peer.ask(host).code == .content)
        }
    }

    @Test("A device's own list of links is rewritten so that a client can follow it; other payloads are not touched")
    func links() async throws {
        try await RunningGateway.with { gateway in
            let owner = try await gateway.owner("alice")
            let device = try await owner.device("lamp")
            let client = try await owner.client("phone")
            var response = Response(
                .content,
                payload: DataItem.array([.map(["href": "/light", "eps": [.map(["ep": "coap://192.0.2.7"])]])])
                    .encoded())
            response.options.contentFormat = .ocfCBOR
            for (request, href) in [
                (Self.get("lamp", "oic", "res"), "/lamp/light"),
                (Request(.get, path: ["lamp", "col"], queries: ["if=oic.if.ll"]), "/lamp/light"),
                (Self.get("lamp", "col"), "/light"),
            ] as [(Request, DataItem)] {
                try await client.peer.start(request)
                let seen = try await device.peer.receivePastCSM()
                try await device.peer.answer(seen, response)
                let answer = try await client.peer.receivePastCSM()
                let link = try #require(answer.item?.elements?.first)
                #expect(link["href"] == href)
                if href == "/lamp/light" {
                    #expect(
                        link["eps"]?.elements?.first?["ep"] == .text("coap+tcp://127.0.0.1:\(gateway.coapPort)"))
                }
            }
        }
    }
}
