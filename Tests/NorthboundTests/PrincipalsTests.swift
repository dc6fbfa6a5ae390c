import CBOR
import Cloud
import HTTPTypes
import Synchronization
import Testing

@testable import Northbound

@Suite("Who may do what", .timeLimit(.minutes(1)))
struct PrincipalsTests {
    /// The path of an endpoint, for what is Alice's.
    private static func path(_ endpoint: Endpoint) -> String {
        endpoint.path.segments.map { segment in
            switch segment {
            case .literal(let text): "/\(text)"
            case .parameter("uid"): "/alice"
            case .parameter("id"): "/0123456789abcdef"
            case .parameter: endpoint.action == .deleteClient ? "/alice-phone" : "/lamp"
            case .rest: "/light"
            }
        }.joined()
    }

    /// A body that any endpoint that reads one would take.
    private static let body = #"{"uid":"alice","di":"lamp","accesstoken":"code-1","refreshtoken":"x"}"#

    @Test(
        "BI-64: no endpoint that asks for a token answers without one, to garbage, or to a deleted user's",
        arguments: [
            nil, "garbage", "gone-user", "alice-use", "alice-userx",
        ])
    func noPrincipal(token: String?) async throws {
        try await Server.run { server async throws in
            for endpoint in EndpointTable.all where !endpoint.principals.isEmpty {
                let name = "\(endpoint.method) \(endpoint.path.text)"
                let answer = try await server.request(
                    endpoint.method.rawValue, Self.path(endpoint), token: token, body: Self.body)
                #expect(answer.status == 401, "\(name)")
                #expect(answer.fields["www-authenticate"] == "Bearer", "\(name)")
                if endpoint.method != .head { #expect(answer.slug == "unauthorized", "\(name)") }
            }
            #expect(server.registry.changes.isEmpty)
            #expect(server.devices.requests.isEmpty)
        }
    }

    @Test("BI-64: a token of a kind that is not in the endpoint's row is 403, of whichever owner")
    func wrongKind() async throws {
        try await Server.run { server async throws in
            var count = 0
            for endpoint in EndpointTable.all where !endpoint.principals.isEmpty {
                for kind in Principal.Kind.allCases where !endpoint.principals.contains(kind) {
                    for owner in ["alice", "bob"] {
                        count += 1
                        let name = "\(endpoint.method) \(endpoint.path.text) \(owner)-\(kind.rawValue)"
                        let answer = try await server.request(
                            endpoint.method.rawValue, Self.path(endpoint), token: "\(owner)-\(kind.rawValue)",
                            body: Self.body)
                        #expect(answer.status == 403, "\(name)")
                        if endpoint.method != .head { #expect(answer.slug == "wrong-principal", "\(name)") }
                    }
                }
            }
            #expect(count > 50)
            #expect(server.registry.changes.isEmpty)
            #expect(server.devices.requests.isEmpty)
        }
    }

    @Test("BI-64: another owner's token of the right kind is 403 on everything with an id, and lists only his own")
    func otherOwner() async throws {
        try await Server.run { server async throws in
            for endpoint in EndpointTable.all {
                for kind in endpoint.principals {
                    let name = "\(endpoint.method) \(endpoint.path.text) bob-\(kind.rawValue)"
                    let answer = try await server.request(
                        endpoint.method.rawValue, Self.path(endpoint), token: "bob-\(kind.rawValue)", body: Self.body)
                    switch endpoint.action {
                    case .discover, .listDevices:
                        #expect(answer.status == 200, "\(name)")
                        #expect(answer.body.contains("oven"), "\(name)")
                        #expect(!answer.body.contains("lamp"), "\(name)")
                    case .listMediators:
                        #expect(answer.status == 200, "\(name)")
                        #expect(!answer.body.contains("0123456789abcdef"), "\(name)")
                    case .deleteMediator:
                        // Whose mediator it is, is told to nobody.
                        #expect(answer.status == 404, "\(name)")
                        #expect(server.registry.state.withLock { $0.mediators.count } == 1, "\(name)")
                    case .followEvents:
                        // StreamTests has what they read.
                        #expect(answer.status == 200, "\(name)")
                    case .provisionClient, .provisionDevice:
                        // A code is for the mediator's own user, whatever the id.
                        #expect(answer.status == 200, "\(name)")
                    case .showDevice, .deleteUser, .deleteClient, .deleteDevice, .askDevice:
                        #expect(answer.status == 403, "\(name)")
                        if endpoint.method != .head { #expect(answer.slug == "not-yours", "\(name)") }
                    case .registerUser, .provisionMediator, .signUp, .refresh, .openAPI, .errors:
                        Issue.record("\(name) asks for no token")
                    }
                }
            }
            #expect(server.registry.changes.filter { $0.hasPrefix("delete") && !$0.contains("mediator") }.isEmpty)
            #expect(server.devices.requests.isEmpty)
            #expect(server.devices.ended.isEmpty)
        }
    }

    @Test("BI-64: the right principal is let in everywhere, so the refusals above mean something")
    func rightPrincipal() async throws {
        try await Server.run { server async throws in
            for endpoint in EndpointTable.all where endpoint.action != .deleteUser {
                for kind in endpoint.principals {
                    server.registry.add(.client, "alice-client", uid: "alice", di: "alice-phone")
                    server.registry.add(.device, "alice-device", uid: "alice", di: "lamp")
                    let answer = try await server.request(
                        endpoint.method.rawValue, Self.path(endpoint), token: "alice-\(kind.rawValue)",
                        body: Self.body)
                    #expect((200...299).contains(answer.status), "\(endpoint.method) \(endpoint.path.text) \(kind)")
                }
            }
        }
    }

    @Test("BI-64: a client deletes itself and no other client of its user")
    func clientDeletesItself() async throws {
        try await Server.run { server async throws in
            server.registry.add(.client, "alice-client-2", uid: "alice", di: "alice-tablet")
            #expect(try await server.request("DELETE", "/clients/alice-tablet", token: "alice-client").status == 403)
            #expect(try await server.request("DELETE", "/clients/alice-phone", token: "alice-client").status == 204)
            #expect(server.devices.ended == ["alice-phone deleted"])
        }
    }

    // MARK: Tokens

    @Test(
        "BI-62: RFC 6750 §2.1: the scheme counts in any case, and a bare token counts",
        arguments: [
            "Bearer alice-user", "bearer alice-user", "BEARER  alice-user", "alice-user", "  alice-user ",
        ])
    func schemes(value: String) async throws {
        try await Server.run { server async throws in
            #expect(try await server.request("GET", "/devices", ["Authorization: \(value)"]).status == 200)
        }
    }

    @Test(
        "BI-62: another scheme, a token in the query and a very long one are 401",
        arguments: [
            ("Authorization: Basic alice-user", "/devices"), ("X-Token: alice-user", "/devices"),
            ("X-Token: alice-user", "/devices?access_token=alice-user"), ("Authorization: Bearer", "/devices"),
            ("Authorization: Bearer alice-user alice-user", "/devices"), ("Authorization:", "/devices"),
            ("Authorization: Bearer \(String(repeating: "x", count: 513))", "/devices"),
            ("Authorization: Bearer \(String(repeating: "x", count: 50_000))", "/devices"),
        ])
    func noToken(field: String, path: String) async throws {
        try await Server.run { server async throws in
            let answer = try await server.request("GET", path, [field])
            #expect(answer.status == 401)
            #expect(answer.slug == "unauthorized")
        }
    }

    @Test("BI-62: two Authorization fields are 400, even with the same token")
    func twoTokens() async throws {
        try await Server.run { server async throws in
            let field = "Authorization: Bearer alice-user"
            let answer = try await server.request("GET", "/devices", [field, field])
            #expect(answer.status == 400)
            #expect(answer.slug == "bad-header")
            #expect(answer.json?["field"] == "Authorization")
        }
    }

    @Test("A token that was taken back is refused at the next request, on the same connection too")
    func revoked() async throws {
        try await Server.run { server async throws in
            try await Peer.connect(server.port) { peer async throws in
                let field = ["Authorization: Bearer alice-user"]
                #expect(try await peer.request("GET", "/devices", field).status == 200)
                #expect(try await peer.request("DELETE", "/users/alice", field).status == 204)
                #expect(try await peer.request("GET", "/devices", field).status == 401)
            }
            #expect(server.devices.ended.sorted() == ["alice-phone deleted", "fridge deleted", "lamp deleted"])
        }
    }
}
