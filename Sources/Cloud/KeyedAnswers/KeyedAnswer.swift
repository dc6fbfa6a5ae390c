import Crypto

/// A request that its sender names, so that it is delivered once however often it is sent.
package struct KeyedRequest: Hashable, Sendable {
    /// Whose bound it counts against.
    package let uid: UserID
    /// Who asks, and under which key.
    package let name: SecretHash
    /// What is asked: another request under the same name is a mistake.
    package let content: SecretHash

    /// - Parameters:
    ///   - key: as the sender chose it. Keys of two principals have nothing to do with each other.
    ///   - content: everything that makes it the same request.
    package init(_ key: String, of principal: Principal, content: [UInt8]) {
        self.uid = principal.uid
        // None of them has a line break but the last.
        self.name = SecretHash(
            of: [principal.kind.rawValue, principal.uid.text, principal.di?.text ?? "", key].joined(separator: "\n"))
        self.content = SecretHash(ofBytes: content)
    }
}

/// An answer to be given again.
package struct KeyedAnswer: Hashable, Sendable {
    package struct Field: Hashable, Sendable {
        package var name: String
        package var value: String

        package init(name: String, value: String) {
            self.name = name
            self.value = value
        }
    }

    package var status: Int
    package var fields: [Field]
    package var body: [UInt8]

    package init(status: Int, fields: [Field], body: [UInt8]) {
        self.status = status
        self.fields = fields
        self.body = body
    }
}

/// What a store knows of a request.
package enum KeyedStanding: Hashable, Sendable {
    /// Nothing: it is now the caller's, who delivers it and says how it ended.
    case first
    /// The first one has no answer yet.
    case running
    case answered(KeyedAnswer)
    /// Nobody knows whether the first one was carried out, or its answer was too large to be kept.
    case unknown
    /// The key stands for another request.
    case different
    /// The owner has as many as are kept.
    case tooMany
}

/// How the first one ended.
package enum KeyedEnd: Hashable, Sendable {
    case answered(KeyedAnswer)
    /// Nobody got it: the next one is the first.
    case undelivered
    case unknown
}

package enum KeyedAnswerLimits {
    /// How long an answer is given again, from when the first request came.
    package static let lifetime: Duration = .seconds(10 * 60)
    /// The largest answer that is kept, in bytes.
    package static let answerBytes = 32 * 1024
    /// What is kept for one owner within `lifetime`, in bytes.
    package static let ownerBytes = 8 * 1024 * 1024
    /// What a request takes besides its answer, about, in bytes.
    package static let overheadBytes = 400
}

/// The answers to requests with keys.
package protocol KeyedAnswerStore: Sendable {
    /// - Parameter limit: by when the caller says how it ended; later, nobody knows.
    func begin(_ request: KeyedRequest, limit: Duration) async throws(RouteStoreUnavailable) -> KeyedStanding
    /// What cannot be noted is `unknown` from `limit` on.
    func end(_ request: KeyedRequest, _ end: KeyedEnd) async
}
