import CBOR
import Glibc
import NIOPosix
import NIOSSL
import Synchronization

/// Where the one-time codes come from that devices and clients sign up with.
package struct Provisioner: Sendable {
    /// Whose device or client it is to be. The second user is there to be refused.
    package enum User: Int, Hashable, Sendable, CaseIterable {
        case first = 1
        case second = 2
    }

    package enum Kind: String, Hashable, Sendable {
        case device
        case client
    }

    package enum Source: Sendable {
        /// The endpoints of our README.
        case http(HTTPDoor)
        /// A shell command: called with `device` or `client`, the id, and `1` or `2` for the user, it prints a code.
        case command(String)
        /// Codes of one user that fit any device.
        case codes([String])
    }

    private struct Account: Sendable {
        let uid: String
        let token: String
        let mediator: String
    }

    private let source: Source
    private let accounts: [User: Account]
    private let codes: Codes
    private let tls: NIOSSLContext?

    private final class Codes: Sendable {
        let left: Mutex<[String]>

        init(_ codes: [String]) {
            self.left = Mutex(codes)
        }
    }

    /// Registers the users, where that is for us to do.
    init(_ source: Source, tls: NIOSSLContext?, patience: Duration) async throws {
        self.source = source
        self.tls = tls
        var accounts: [User: Account] = [:]
        switch source {
        case .http(let door):
            let clock = CaseClock(patience: patience, end: .now + patience * 8)
            for user in User.allCases {
                accounts[user] = try await Self.account(at: door, tls: tls, clock: clock)
            }
            self.codes = Codes([])
        case .command:
            self.codes = Codes([])
        case .codes(let codes):
            self.codes = Codes(codes)
        }
        self.accounts = accounts
    }

    private static func account(at door: HTTPDoor, tls: NIOSSLContext?, clock: CaseClock) async throws -> Account {
        let uid = "conformance-\(String(UInt64.random(in: .min ... .max), radix: 36))"
        let token = try await Self.token(
            door, "/register/user", ["uid": .text(uid), "authprovider": "test"], tls: tls, clock: clock)
        let mediator = try await Self.token(
            door, "/provision/mediator", ["uid": .text(uid), "accesstoken": .text(token)], tls: tls, clock: clock)
        return Account(uid: uid, token: token, mediator: mediator)
    }

    static func token(
        _ door: HTTPDoor, _ path: String, bearer: String? = nil, _ body: KeyValuePairs<String, DataItem>,
        tls: NIOSSLContext?, clock: CaseClock,
    ) async throws -> String {
        let answer = try await door.request(
            "POST", path, token: bearer, headers: [("Content-Type", "application/json")],
            body: json(.map(body)), tls: tls, clock: clock, transcript: Transcript())
        guard answer.status == 200, let token = answer.json?["accesstoken"]?.string else {
            throw CaseFailure(
                .given, expected: "200 with an accesstoken from POST \(path)", got: "\(answer.status) \(answer.text)")
        }
        return token
    }

    /// Whether `cleanUp` leaves nothing of the users behind.
    var takesUsersAway: Bool {
        switch self.source {
        case .http: true
        case .command, .codes: false
        }
    }

    package var hasSecondUser: Bool {
        switch self.source {
        case .http, .command: true
        case .codes: false
        }
    }

    /// A code for this device or client.
    /// - Throws: `CaseSkip` when there is none, `CaseFailure` when it was refused.
    func code(_ kind: Kind, _ di: String, of user: User, clock: CaseClock) async throws -> String {
        switch self.source {
        case .http(let door):
            guard let account = self.accounts[user] else { throw CaseSkip("there is no such user") }
            return try await Self.token(
                door, "/provision/\(kind.rawValue)", bearer: account.mediator, ["di": .text(di)], tls: self.tls,
                clock: clock)
        case .command(let command):
            let line = "\(command) \(kind.rawValue) '\(di)' \(user.rawValue)"
            let output = try await NIOThreadPool.singleton.runIfActive { shell(line) }
            guard let output, !output.isEmpty else {
                throw CaseFailure(.given, expected: "a code from \(line)", got: "none, or a failure")
            }
            return output
        case .codes:
            guard user == .first else { throw CaseSkip("codes of a second user are needed: --http or --provision") }
            guard let code = self.codes.left.withLock({ $0.isEmpty ? nil : $0.removeFirst() }) else {
                throw CaseSkip("no code is left; give more with --code")
            }
            return code
        }
    }

    /// What this user shows over HTTP.
    func token(of user: User) throws -> String {
        guard let account = self.accounts[user] else { throw CaseSkip("needs --http") }
        return account.token
    }

    /// Takes the users away again, and all that is theirs. A cloud that has no such endpoint keeps them.
    package func cleanUp(patience: Duration) async {
        guard case .http(let door) = self.source else { return }
        let clock = CaseClock(patience: patience, end: .now + patience * 2)
        for account in self.accounts.values {
            _ = try? await door.request(
                "DELETE", "/users/\(account.uid)", token: account.token, tls: self.tls, clock: clock,
                transcript: Transcript())
        }
    }
}

/// What a shell command prints, without the end of its line; nil if it fails.
func shell(_ line: String) -> String? {
    guard let stream = popen(line, "r") else { return nil }
    var bytes: [UInt8] = []
    // A code is a line; whatever is longer is none.
    while bytes.count < 65_536 {
        let byte = fgetc(stream)
        guard byte != EOF else { break }
        bytes.append(UInt8(truncatingIfNeeded: byte))
    }
    guard pclose(stream) == 0 else { return nil }
    return String(decoding: bytes, as: UTF8.self).trimmed
}
