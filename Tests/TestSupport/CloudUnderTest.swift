package import CBOR
package import CoAP
import NIOCore

/// A cloud that tests talk to from outside, in this process or in others.
package protocol CloudUnderTest: Sendable {
    /// Its HTTP API, at any of its doors.
    var http: HTTPTestClient { get }

    /// A new connection for a device or client.
    func connect() async throws -> ScriptedPeer
}

extension CloudUnderTest {
    // MARK: Provisioning, as the README does it

    /// Registers a user; the answer is the user's token.
    package func register(_ uid: String) async throws -> String {
        try await self.token(
            self.http.post("/register/user", "{\"uid\": \"\(uid)\", \"authprovider\": \"github\"}"))
    }

    /// A mediator's token of this user.
    package func mediator(_ uid: String, userToken: String) async throws -> String {
        try await self.token(
            self.http.post("/provision/mediator", "{\"uid\": \"\(uid)\", \"accesstoken\": \"\(userToken)\"}"))
    }

    /// A one-time code for a device.
    package func deviceCode(_ di: String, mediator: String) async throws -> String {
        try await self.token(self.http.post("/provision/device", token: mediator, "{\"di\": \"\(di)\"}"))
    }

    /// A one-time code for a client.
    package func clientCode(_ di: String, mediator: String) async throws -> String {
        try await self.token(self.http.post("/provision/client", token: mediator, "{\"di\": \"\(di)\"}"))
    }

    private func token(_ answer: HTTPTestAnswer) throws -> String {
        guard answer.status == 200, let token = answer.member("accesstoken") else {
            throw PeerError("no token: \(answer.status) \(answer.text)")
        }
        IssuedSecrets.shared.note(token)
        return token
    }

    /// A new user with a mediator.
    package func owner(_ uid: String) async throws -> Owner {
        let token = try await self.register(uid)
        return Owner(uid: uid, token: token, mediator: try await self.mediator(uid, userToken: token), cloud: self)
    }

    /// Asks until the answer is the one that is meant to come: for what no message announces.
    package func eventually(
        _ what: String, within patience: Duration = .seconds(15), _ isThere: () async throws -> Bool
    ) async throws {
        try await TestSupport.eventually(what, within: patience, isThere)
    }

    /// What people are told of a device: `online` or `offline`, nil if there is no such device.
    package func status(of di: String, token: String) async throws -> String? {
        try await self.http.get("/devices/\(di)", token: token).member("status")
    }
}

/// A user who can provision.
package struct Owner: Sendable {
    package let uid: String
    package let token: String
    package let mediator: String
    package let cloud: any CloudUnderTest

    /// A device that has signed up and signed in.
    package func device(_ di: String) async throws -> SignedIn {
        let login = try await self.signedUp(di)
        return try await login.signIn()
    }

    /// A device that has signed up.
    package func signedUp(_ di: String) async throws -> IssuedLogin {
        let code = try await self.cloud.deviceCode(di, mediator: self.mediator)
        return try await self.signUp(di, code: code)
    }

    /// A client that has signed up and signed in over CoAP.
    package func client(_ di: String) async throws -> SignedIn {
        let code = try await self.cloud.clientCode(di, mediator: self.mediator)
        return try await self.signUp(di, code: code).signIn()
    }

    package func signUp(_ di: String, code: String) async throws -> IssuedLogin {
        let peer = try await self.cloud.connect()
        let answer = try await peer.ask(.signUp(di: di, code: code))
        guard let item = answer.item, answer.code == .changed else {
            throw PeerError("sign-up of \(di): \(answer.code) \(answer.text)")
        }
        return try IssuedLogin(item, di: di, peer: peer)
    }
}

/// What a sign-up or refresh gave.
package struct IssuedLogin: Sendable {
    package let di: String
    package let uid: String
    package let accessToken: String
    package let refreshToken: String
    package let expiresIn: Int64
    package let peer: ScriptedPeer

    package init(_ item: DataItem, di: String, uid: String? = nil, peer: ScriptedPeer) throws {
        guard let access = item["accesstoken"]?.string, let refresh = item["refreshtoken"]?.string,
            let expires = item["expiresin"]?.integer, let uid = uid ?? item["uid"]?.string
        else { throw PeerError("incomplete login: \(item.pairs?.compactMap(\.key.string) ?? [])") }
        IssuedSecrets.shared.note(access)
        IssuedSecrets.shared.note(refresh)
        self.di = di
        self.uid = uid
        self.accessToken = access
        self.refreshToken = refresh
        self.expiresIn = expires
        self.peer = peer
    }

    /// Signs in on the connection of the sign-up, or on another one.
    package func signIn(on other: ScriptedPeer? = nil) async throws -> SignedIn {
        let peer = other ?? self.peer
        let answer = try await peer.ask(.signIn(uid: self.uid, di: self.di, accessToken: self.accessToken))
        guard answer.code == .changed else { throw PeerError("sign-in: \(answer.code) \(answer.text)") }
        return SignedIn(login: self, peer: peer)
    }
}

extension ScriptedPeer {
    /// Refreshes, and takes the new tokens down.
    package func refresh(_ di: String, of uid: String, with refreshToken: String) async throws -> IssuedLogin {
        let answer = try await self.ask(.refresh(uid: uid, di: di, refreshToken: refreshToken))
        guard let item = answer.item, answer.code == .changed else {
            throw PeerError("refresh of \(di): \(answer.code) \(answer.text)")
        }
        return try IssuedLogin(item, di: di, uid: uid, peer: self)
    }
}

/// A session.
package struct SignedIn: Sendable {
    package let login: IssuedLogin
    package let peer: ScriptedPeer

    package init(login: IssuedLogin, peer: ScriptedPeer) {
        self.login = login
        self.peer = peer
    }

    package var di: String { self.login.di }
    package var uid: String { self.login.uid }

    @discardableResult
    package func publish(_ hrefs: String...) async throws -> Message {
        try await self.peer.ask(.publish(di: self.di, hrefs: hrefs))
    }

    /// What the owner's devices have published, by `/{di}{href}`.
    package func discover(_ queries: String...) async throws -> [String] {
        let answer = try await self.peer.ask(.ocf(.get, "oic/res", queries: queries))
        guard answer.code == .content, let links = answer.item?.elements else {
            throw PeerError("GET /oic/res: \(answer.code) \(answer.text)")
        }
        return links.compactMap { $0["href"]?.string }
    }
}
