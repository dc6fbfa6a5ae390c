import CBOR
import Cloud
import CoAP
import Testing

@testable import Northbound

@Suite("Idempotency-Key", .timeLimit(.minutes(1)))
struct IdempotencyKeyTests {
    private static func post(
        _ server: Server, _ key: String, target: String = "/lamp/light", method: String = "POST",
        token: String = "alice-user", body: String = #"{"n":1}"#
    ) async throws -> Peer.Answer {
        try await server.request(method, target, token: token, ["Idempotency-Key: \(key)"], body: body)
    }

    @Test("A request that is sent again gets the first one's answer, and the device gets it once")
    func again() async throws {
        try await Server.run { server async throws in
            var options = Options()
            options.contentFormat = .ocfCBOR
            options.append(.eTag, bytes: [1, 2])
            server.devices.answer(
                CoAP.Response(.changed, options: options, payload: DataItem.map(["n": 1]).encoded()))
            let first = try await Self.post(server, "one")
            // With or without quotes it is the same key (RFC 9651 §3.3.3).
            let second = try await Self.post(server, "\"one\"")
            #expect(first.status == 200)
            #expect(second.status == 200)
            #expect(second.body == first.body)
            #expect(second.fields["content-type"] == first.fields["content-type"])
            #expect(second.fields["etag"] == first.fields["etag"])
            #expect(second.fields["x-request-id"] != first.fields["x-request-id"])
            #expect(first.fields["idempotent-replayed"] == nil)
            #expect(second.fields["idempotent-replayed"] == "true")
            #expect(server.devices.requests.count == 1)
            _ = try await Self.post(server, "two")
            #expect(server.devices.requests.count == 2)
        }
    }

    @Test("What the device refused is refused again, in its words")
    func refused() async throws {
        try await Server.run { server async throws in
            server.devices.answer(CoAP.Response(.forbidden, diagnostic: "child lock"))
            let first = try await Self.post(server, "one")
            let second = try await Self.post(server, "one")
            #expect(first.status == 403)
            #expect(second.status == 403)
            #expect(second.body == first.body)
            #expect(server.devices.requests.count == 1)
        }
    }

    @Test("What nobody got is sent when it comes again")
    func undelivered() async throws {
        try await Server.run { server async throws in
            var response = CoAP.Response(.serviceUnavailable)
            response.options.undelivered = .moving
            server.devices.answer(response)
            #expect(try await Self.post(server, "one").slug == "moving")
            server.devices.answer(CoAP.Response(.changed))
            #expect(try await Self.post(server, "one").status == 204)
            #expect(server.devices.requests.count == 2)
        }
    }

    @Test("What nobody knows the outcome of is not sent again")
    func unknown() async throws {
        try await Server.run { server async throws in
            var response = CoAP.Response(.gatewayTimeout)
            response.options.unknownOutcome = .noAnswer
            server.devices.answer(response)
            #expect(try await Self.post(server, "one").slug == "no-answer")
            let second = try await Self.post(server, "one")
            #expect(second.status == 502)
            #expect(second.slug == "outcome-unknown")
            #expect(server.devices.requests.count == 1)
        }
    }

    @Test("While the first one runs the second is 409, and gets its answer afterwards")
    func running() async throws {
        try await Server.run { server async throws in
            let (arrived, arrival) = AsyncStream.makeStream(of: (@Sendable (CoAP.Response) -> Void).self)
            server.devices.script { _, answer in arrival.yield(answer) }
            async let first = Self.post(server, "one")
            var waiting = arrived.makeAsyncIterator()
            let answer = try #require(await waiting.next())
            let second = try await Self.post(server, "one")
            #expect(second.status == 409)
            #expect(second.slug == "key-in-use")
            #expect(second.fields["retry-after"] == "1")
            answer(CoAP.Response(.changed))
            #expect(try await first.status == 204)
            #expect(try await Self.post(server, "one").status == 204)
            #expect(server.devices.requests.count == 1)
        }
    }

    @Test("Under one key another method, path, query, type or body is 422; another principal's key is another key")
    func different() async throws {
        try await Server.run { server async throws in
            server.devices.answer(CoAP.Response(.changed))
            _ = try await Self.post(server, "one")
            for answer in [
                try await Self.post(server, "one", method: "DELETE", body: ""),
                try await Self.post(server, "one", target: "/lamp/light/1"),
                try await Self.post(server, "one", target: "/lamp/light?if=oic.if.rw"),
                try await Self.post(server, "one", body: #"{"n":2}"#),
                try await server.request(
                    "POST", "/lamp/light", token: "alice-user",
                    ["Idempotency-Key: one", "Content-Type: application/json"], body: #"{"n":1}"#),
            ] {
                #expect(answer.status == 422)
                #expect(answer.slug == "key-reused")
            }
            #expect(server.devices.requests.count == 1)
            #expect(try await Self.post(server, "one", token: "alice-client").status == 204)
            #expect(server.devices.requests.count == 2)
        }
    }

    @Test("A key that is none is 400; one on a GET means nothing")
    func syntax() async throws {
        try await Server.run { server async throws in
            for key in ["", "\"\"", "a b", "\u{E9}", String(repeating: "k", count: 256)] {
                #expect(try await Self.post(server, key).status == 400, "\(key)")
            }
            let twice = try await server.request(
                "POST", "/lamp/light", token: "alice-user", ["Idempotency-Key: a", "Idempotency-Key: a"], body: "{}")
            #expect(twice.status == 400)
            #expect(server.devices.requests.isEmpty)
            for _ in 0..<2 {
                _ = try await server.request("GET", "/lamp/light", token: "alice-user", ["Idempotency-Key: a b"])
            }
            #expect(server.devices.requests.count == 2)
        }
    }
}
