/// One idea of how a cloud has to behave, as something that can be tried out on any.
package struct ConformanceCase: Sendable {
    /// What a case is about; `--only` takes these words.
    package enum Group: String, Hashable, Sendable, CaseIterable {
        case framing
        case signalling
        case signUp = "sign-up"
        case signIn = "sign-in"
        case refresh
        case publish
        case discovery
        case routing
        case http
        case doors = "websocket-tls"
    }

    /// What a case needs besides an address and codes for devices of one user.
    package enum Need: Hashable, Sendable {
        /// A length in each frame: CoAP over TCP or TLS, not over WebSocket.
        case stream
        case webSocket
        case tls
        /// The HTTP side of our README: devices, their status and their resources.
        case http
        /// Codes for devices of another user.
        case secondUser
        /// A certificate of a device, and its key.
        case clientCertificate
    }

    package typealias Body = @Sendable (CaseContext) async throws -> Void

    package enum Kind: Sendable {
        case outside(needs: Set<Need>, isSlow: Bool, Body)
        /// Its "given" is out of reach from outside: what would have to be done inside the cloud.
        case inside(reason: String)
    }

    package let number: Int
    package let group: Group
    /// The clause it stands on.
    package let clause: String
    /// Given, when, then.
    package let title: String
    package let kind: Kind

    init(
        _ number: Int, _ group: Group, _ clause: String, _ title: String, needs: Set<Need> = [], isSlow: Bool = false,
        _ body: @escaping Body,
    ) {
        self.number = number
        self.group = group
        self.clause = clause
        self.title = title
        self.kind = .outside(needs: needs, isSlow: isSlow, body)
    }

    init(_ number: Int, _ group: Group, _ clause: String, _ title: String, inside reason: String) {
        self.number = number
        self.group = group
        self.clause = clause
        self.title = title
        self.kind = .inside(reason: reason)
    }

    /// It has to wait for a time that the cloud chooses.
    package var isSlow: Bool {
        switch self.kind {
        case .outside(_, let isSlow, _): isSlow
        case .inside: false
        }
    }

    package var isInside: Bool {
        switch self.kind {
        case .outside: false
        case .inside: true
        }
    }
}

/// What came of a case.
package enum Verdict: Sendable, Hashable {
    case passed
    case failed(CaseFailure)
    /// It was not tried, because of what is missing.
    case skipped(String)
    /// It cannot be tried from outside.
    case inside(String)

    package var word: String {
        switch self {
        case .passed: "pass"
        case .failed: "FAIL"
        case .skipped: "skip"
        case .inside: "inside"
        }
    }
}

/// What was expected and what came instead.
package struct CaseFailure: Error, Sendable, Hashable, CustomStringConvertible {
    /// Where a case failed: on the way to what it is about, or there.
    package enum Stage: Sendable, Hashable {
        case given
        case then
    }

    package var stage: Stage
    package let expected: String
    package let got: String

    package init(_ stage: Stage = .then, expected: String, got: String) {
        self.stage = stage
        self.expected = expected
        self.got = got
    }

    package var description: String {
        let place = self.stage == .given ? "on the way there, " : ""
        return "\(place)expected \(self.expected); got \(self.got)"
    }
}

/// Why a case that has begun cannot be tried after all.
package struct CaseSkip: Error, Sendable, Hashable {
    package let reason: String

    package init(_ reason: String) {
        self.reason = reason
    }
}

/// A case and what came of it.
package struct CaseResult: Sendable {
    package let conformanceCase: ConformanceCase
    package let verdict: Verdict
    package let duration: Duration
    /// What went over the wire, line by line; empty unless the case failed.
    package let wire: [String]
}
