import ServiceShell
import TestSupport
import Testing

@testable import Gateway

@Suite("Who stands behind a token, remembered", .timeLimit(.minutes(2)))
struct RememberedTokenTests {
    @Test("The registry is asked once for all requests with one token")
    func once() async throws {
        try await RunningGateway.with { gateway in
            let token = try await gateway.register("alice")
            for _ in 0..<20 {
                #expect(try await gateway.http.get("/devices", token: token).status == 200)
            }
            let asked = gateway.log.lines.filter {
                $0.contains(" access.registry ") && $0.contains("coap.path=registry/tokens")
            }
            #expect(asked.count == 1)
        }
    }

    @Test("A token that was taken back is refused from the answer on that says so, remembered or not")
    func takenBack() async throws {
        try await RunningGateway.with { gateway in
            let owner = try await gateway.owner("alice")
            for number in 1...20 {
                let client = try await owner.client(overHTTP: "phone-\(number)")
                #expect(try await gateway.http.get("/devices", token: client).status == 200)
                #expect(try await gateway.http.get("/devices", token: client).status == 200)
                let answer = try await gateway.http.request("DELETE", "/clients/phone-\(number)", token: owner.token)
                #expect(answer.status == 204)
                #expect(try await gateway.http.get("/devices", token: client).status == 401)
            }
            #expect(try await gateway.http.request("DELETE", "/users/alice", token: owner.token).status == 204)
            #expect(try await gateway.http.get("/devices", token: owner.token).status == 401)
        }
    }
}

extension Owner {
    /// The access token of a client that has signed up over HTTP.
    fileprivate func client(overHTTP di: String) async throws -> String {
        let code = try await self.cloud.clientCode(di, mediator: self.mediator)
        let answer = try await self.cloud.http.post(
            "/oic/sec/account", "{\"uid\": \"\(self.uid)\", \"di\": \"\(di)\", \"accesstoken\": \"\(code)\"}")
        guard let token = answer.member("accesstoken") else {
            throw PeerError("no token: \(answer.status) \(answer.text)")
        }
        IssuedSecrets.shared.note(token)
        return token
    }
}
