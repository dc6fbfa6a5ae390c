package import Cloud

/// What the device is asked about before it starts: given by flags, or typed.
package struct Answers: Sendable, Equatable {
    package var address: ServerAddress
    /// Empty if it is not known: the answer to `register` tells it.
    package var uid: String
    package var di: String
    /// Nil where none was given.
    package var accessToken: Secret?
    /// The one-time token a mediator provisioned.
    package var oneTimeToken: Secret?
    package var refreshToken: Secret?

    package init(
        address: ServerAddress = ServerAddress(host: "127.0.0.1", port: ServerAddress.defaultPort),
        uid: String = "",
        di: String = "OCF-cloud-device-test-uuid",
        accessToken: Secret? = nil,
        oneTimeToken: Secret? = nil,
        refreshToken: Secret? = nil,
    ) {
        self.address = address
        self.uid = uid
        self.di = di
        self.accessToken = accessToken
        self.oneTimeToken = oneTimeToken
        self.refreshToken = refreshToken
    }
}

/// The questions, in the order people and old scripts know them.
package enum Question: String, Sendable, Hashable, CaseIterable {
    case address
    case uid
    case di
    case accessToken
    case oneTimeToken
    case refreshToken

    package var words: String {
        switch self {
        case .address: "Target address"
        case .uid: "User ID"
        case .di: "Device ID"
        case .accessToken: "Access token"
        case .oneTimeToken: "Mediated one-time token"
        case .refreshToken: "Refresh token"
        }
    }
}

/// Asks what no flag has answered, one question after the other. Does no input or output: the shell prints `prompt`
/// and hands over each line.
package struct Dialogue: Sendable {
    /// What is known by now: answers, and the defaults of what is still to be asked.
    package private(set) var answers: Answers
    private var open: ArraySlice<Question>

    /// The longest answer, in bytes.
    package static let maximumBytes = 1024

    /// - Parameters:
    ///   - defaults: what an empty answer takes.
    ///   - given: what flags have answered; those questions are not asked.
    package init(defaults: Answers, given: Set<Question>) {
        self.answers = defaults
        self.open = Question.allCases.filter { !given.contains($0) }[...]
    }

    /// The question to ask now, nil when all are answered.
    package var question: Question? { self.open.first }

    /// What to print before the answer is read: `Device ID [OCF-cloud-device-test-uuid]: `.
    package var prompt: String? {
        self.question.map { "\($0.words) [\(self.shownDefault(of: $0))]: " }
    }

    /// Takes the answer to `question`; an empty one takes the default.
    ///
    /// - Throws: what is wrong with it; the question stays open.
    package mutating func answer(_ line: String) throws(AnswerError) {
        guard let question = self.open.first else { return }
        let text = line.trimmed
        if !text.isEmpty {
            try self.take(text, for: question)
        }
        self.open.removeFirst()
    }

    private mutating func take(_ text: String, for question: Question) throws(AnswerError) {
        guard text.utf8.count <= Self.maximumBytes else {
            throw AnswerError("\(question.words): at most \(Self.maximumBytes) bytes are taken. Type it again.")
        }
        switch question {
        case .address:
            do throws(AddressError) {
                self.answers.address = try ServerAddress(parsing: text)
            } catch {
                throw AnswerError(error.description)
            }
        case .uid: self.answers.uid = text
        case .di: self.answers.di = text
        case .accessToken: self.answers.accessToken = try Self.secret(text, question)
        case .oneTimeToken: self.answers.oneTimeToken = try Self.secret(text, question)
        case .refreshToken: self.answers.refreshToken = try Self.secret(text, question)
        }
    }

    static func secret(_ text: String, _ question: Question) throws(AnswerError) -> Secret {
        guard let secret = Secret(text) else {
            throw AnswerError(
                "\(question.words): a token has 1 to \(Secret.lengthBytes.upperBound) bytes, this one has "
                    + "\(text.utf8.count). Copy it from the cloud's answer once more."
            )
        }
        return secret
    }

    private func shownDefault(of question: Question) -> String {
        let secret: Secret?
        switch question {
        case .address: return self.answers.address.description
        case .uid: return self.answers.uid.isEmpty ? "none: register tells it" : sanitized(self.answers.uid, limit: 128)
        case .di: return sanitized(self.answers.di, limit: 128)
        case .accessToken: secret = self.answers.accessToken
        case .oneTimeToken: secret = self.answers.oneTimeToken
        case .refreshToken: secret = self.answers.refreshToken
        }
        return secret.map(\.description) ?? "none"
    }
}

/// An answer that cannot be taken: what is wrong and what to type instead.
package struct AnswerError: Error, Hashable, Sendable, CustomStringConvertible {
    package let description: String

    init(_ description: String) {
        self.description = description
    }
}
