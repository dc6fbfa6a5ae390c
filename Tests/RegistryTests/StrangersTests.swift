import CBOR
import Cloud
import CoAP
import NIOCore
import OCF
import Testing

@testable import Registry

/// Every method of every resource, made from the registry's own table, asked by those who have no right to what is
/// Alice's: with their own sessions, and with every token they could have. `GatewayTests` has the requests to devices.
@Suite("Strangers at the registry")
struct StrangersTests {
    /// What a stranger may do there with his own session; everything else is refused in each case.
    private enum Allowed {
        case nothing
        /// It tells only of the asker.
        case own
    }

    /// A row for each operation: the test fails when there is one without a row here.
    private static let rows: [String: Allowed] = [
        "POST oic/sec/account": .nothing, "DELETE oic/sec/account": .nothing, "POST oic/sec/session": .nothing,
        "POST oic/sec/tokenrefresh": .nothing, "GET oic/rd": .own, "POST oic/rd": .nothing, "DELETE oic/rd": .nothing,
        "GET oic/res": .own, "POST oic/account": .nothing, "DELETE oic/account": .nothing,
        "POST oic/account/session": .nothing, "POST oic/account/tokenrefresh": .nothing,
    ]

    private struct Asker {
        let name: String
        let session: Signed?
        let tokens: [Secret]
    }

    /// What Alice has, as far as anybody could change it.
    private static func census(_ bench: Bench, _ lamp: Signed, _ mediator: Secret) async throws -> [String] {
        let links = try await bench.discovered(by: lamp)
        let signIn = await bench.signIn(lamp)
        let devices = try await bench.client.devices(of: lamp.uid, call: Bench.call).map(\.di.text)
        let kind = try await bench.client.principal(for: mediator, call: Bench.call)?.kind
        return links + devices + ["\(signIn.code)", "\(kind.map(\.rawValue) ?? "-")"]
    }

    private static func askers(_ bench: Bench) async throws -> [Asker] {
        let (bob, user, mediator) = try await bench.user("bob")
        let device = try await bench.signedUp("oven", of: "bob")
        let client = try await bench.signedUp("phone", of: "bob", kind: .client)
        let tokens = [
            user, mediator, device.tokens.accessToken, device.tokens.refreshToken, client.tokens.accessToken,
            client.tokens.refreshToken, try await bench.code(nil, of: "bob"),
        ]
        _ = bob
        let (carol, carolsUser, carolsMediator) = try await bench.user("carol")
        let gone = try await bench.signedUp("radio", of: "carol")
        _ = try await bench.client.deleteUser(carol, call: Bench.call)
        let goneTokens = [carolsUser, carolsMediator, gone.tokens.accessToken, gone.tokens.refreshToken]
        return [
            Asker(name: "nobody", session: nil, tokens: tokens + goneTokens),
            Asker(name: "another owner's device", session: device, tokens: tokens),
            Asker(name: "another owner's client", session: client, tokens: tokens),
            Asker(name: "a deleted user's device", session: gone, tokens: goneTokens),
        ]
    }

    /// The payload and queries of a request that is about Alice's lamp.
    private static func request(_ operation: String, _ token: Secret) -> (queries: [String], item: DataItem?) {
        let names: DataItem = [
            "uid": "alice", "di": "lamp", "login": true, "kind": "device", "authprovider": "plgd",
            "accesstoken": .text(token.reveal()), "refreshtoken": .text(token.reveal()),
            "links": [link("/stolen")], "ttl": 0,
        ]
        let queries = ["uid=alice", "di=lamp", "accesstoken=\(token.reveal())"]
        return operation.hasPrefix("POST") ? ([], names) : (queries, nil)
    }

    @Test(
        "BI-64: nobody gets or changes anything of another owner's, whatever token he shows",
        arguments: StoreKind.allCases)
    func strangers(_ kind: StoreKind) async throws {
        try await Bench.run(kind) { bench in
            let lamp = try await bench.signedUp("lamp", of: "alice")
            let mediator = try await bench.user("alice").mediator
            _ = try await bench.publish(["/secret-light"], of: lamp)
            let before = try await Self.census(bench, lamp, mediator)
            #expect(before.contains("/lamp/secret-light"))
            let askers = try await Self.askers(bench)
            var count = 0
            for operation in bench.responder.operations {
                let parts = operation.split(separator: " ").map(String.init)
                let method = try #require([Code.get, .post, .delete].first { $0.name == parts[0] }, "\(operation)")
                let isOurs = parts[1].hasPrefix(RegistryProtocol.root)
                let allowed = try #require(isOurs ? Allowed.nothing : Self.rows[operation], "no row: \(operation)")
                let path = parts[1].split(separator: "/").map { segment in
                    segment.hasPrefix("{") ? (segment == "{uid}" ? "alice" : "lamp") : String(segment)
                }
                for asker in askers {
                    for token in asker.tokens {
                        count += 1
                        let name: Comment = "\(operation) by \(asker.name)"
                        let (queries, item) = Self.request(operation, token)
                        let answer = await bench.send(method, path, queries: queries, item, as: asker.session)
                        if allowed == .own, asker.session != nil {
                            #expect(answer.code == .content, name)
                        } else {
                            #expect([4].contains(Int(answer.code.codeClass)), name)
                        }
                        let text = answer.payload.map { String(decoding: $0.readableBytesView, as: UTF8.self) } ?? ""
                        #expect(!text.contains("secret-light"), name)
                    }
                }
                #expect(try await Self.census(bench, lamp, mediator) == before, "\(operation)")
            }
            #expect(count > 300)
            #expect(bench.endedSessions.filter { $0 == lamp.di }.isEmpty)
        }
    }

    @Test("BI-64: the rows above are those of the registry, no more")
    func rows() async throws {
        try await Bench.run(.memory) { bench in
            let outside = bench.responder.operations.filter { !$0.contains(" \(RegistryProtocol.root)/") }
            #expect(Set(outside) == Set(Self.rows.keys))
        }
    }
}
