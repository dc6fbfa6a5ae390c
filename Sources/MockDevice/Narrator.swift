import Cloud
import CoAP

/// Puts what happens to a device into words for a terminal. Does no output.
package struct Narrator: Sendable {
    /// Whether tokens the cloud returns are shown, or only their short hashes.
    package let showsTokens: Bool

    package init(showsTokens: Bool) {
        self.showsTokens = showsTokens
    }

    /// One line each; nothing a peer sent gets through unsanitized.
    package func lines(for event: DeviceEvent) -> [String] {
        switch event {
        case .connecting(let address):
            return ["Connecting to \(address) …"]
        case .connected(let address):
            return ["Connected to \(address)."]
        case .notConnected(let address, let failure, let comesBack):
            let what = "Cannot connect to \(address): \(sanitized(failure.message, limit: 300))."
            return comesBack ? [what] : [what, "  " + Advice.connecting(to: address, failure)]
        case .ended(let loss, let address, let isNoCloud, let comesBack):
            return Self.ended(loss, address, isNoCloud: isNoCloud, comesBack: comesBack)
        case .returning(let delay):
            return ["Connecting again in \(delay.spoken)."]
        case .repeating(let operation, let delay):
            return ["Sending \(operation.rawValue) again in \(delay.spoken)."]
        case .gaveUp(let reason):
            return [
                "Gave up: \(reason).",
                "  Get a new one-time token for this device and start again with --onetime-token, then register.",
            ]
        case .answered(let operation, let response):
            return self.answered(operation, response)
        case .received(let tokens, let expiresIn):
            return self.received(tokens, expiresIn)
        case .signedIn(let expiresIn):
            return ["  Signed in; the access token \(Self.lifetime(expiresIn))."]
        case .published(let numbers):
            let links = numbers.sorted { $0.key < $1.key }.map { "\($0.key) (ins \($0.value))" }
            return ["  Published: \(links.joined(separator: ", "))."]
        case .redirected(let address):
            return ["  The cloud wants this device at \(address); the next command connects there."]
        case .unanswered(let operation, let failure):
            return [
                "\(operation.rawValue): no answer: \(sanitized(failure.message, limit: 300)).",
                "  " + Advice.unanswered(operation, failure),
            ]
        case .unusable(let operation, let problem):
            return [
                "  But no device can use this answer to \(operation.rawValue): \(sanitized(problem.description)).",
                "  That is the cloud's fault; its log should tell more.",
            ]
        case .impossible(let operation, let reason):
            return ["\(operation.rawValue): nothing was sent: \(reason)."]
        case .served(let request, let response):
            return [Self.served(request, response)]
        }
    }

    // MARK: - Answers

    private func answered(_ operation: Operation, _ response: Response) -> [String] {
        var line = "\(operation.rawValue): \(Self.words(response.code))"
        guard !response.code.isSuccess else {
            switch operation {
            case .register, .refresh: break  // Tokens follow, or are kept back.
            case .session, .signOut, .publish, .unpublish:
                line += Self.suffix(shown(response.payload, format: response.options.contentFormat))
            }
            return [line]
        }
        if let diagnostic = response.diagnostic {
            line += ": \(sanitized(diagnostic, limit: 500))"
        } else {
            line += Self.suffix(shown(response.payload, format: response.options.contentFormat))
        }
        return [line, "  " + Advice.refused(operation, response.code, maxAge: response.options.maxAge)]
    }

    private func received(_ tokens: Tokens, _ expiresIn: Int64) -> [String] {
        [
            "  uid: \(sanitized(tokens.uid, limit: 300))",
            "  accesstoken: \(self.token(tokens.accessToken))",
            "  refreshtoken: \(self.token(tokens.refreshToken))",
            "  expiresin: \(expiresIn) (the access token \(Self.lifetime(expiresIn)))",
        ]
    }

    private func token(_ secret: Secret) -> String {
        self.showsTokens ? sanitized(secret.reveal(), limit: 600) : secret.description
    }

    static func lifetime(_ expiresIn: Int64) -> String {
        expiresIn < 0 ? "never ends" : "ends in \(Duration.seconds(min(expiresIn, 1 << 40)).spoken)"
    }

    // MARK: - Requests

    private static func served(_ request: Request, _ response: Response) -> String {
        let path = (request.options.path ?? ["?"]).joined(separator: "/")
        let queries = (request.options.queries ?? []).joined(separator: "&")
        var line = "served: \(request.method.name ?? request.method.description) /\(sanitized(path, limit: 300))"
        if !queries.isEmpty {
            line += "?\(sanitized(queries, limit: 300))"
        }
        line += Self.suffix(shown(request.payload, format: request.options.contentFormat))
        line += " -> \(Self.words(response.code))"
        if let diagnostic = response.diagnostic {
            line += ": \(sanitized(diagnostic, limit: 300))"
        } else {
            line += Self.suffix(shown(response.payload, format: response.options.contentFormat))
        }
        return line
    }

    private static func suffix(_ text: String?) -> String { text.map { " " + $0 } ?? "" }

    /// `2.04 Changed`.
    static func words(_ code: Code) -> String {
        code.name.map { "\(code) \($0)" } ?? "\(code)"
    }

    // MARK: - The connection

    private static func ended(
        _ loss: ConnectionLoss, _ address: ServerAddress, isNoCloud: Bool, comesBack: Bool,
    ) -> [String] {
        let what: String
        switch loss {
        case .closedByUs:
            return ["The connection to \(address) is closed."]
        case .closedByPeer:
            what = "The cloud closed the connection"
        case .released(let holdOff):
            what =
                "The cloud asks to reconnect (Release)"
                + (holdOff.map { ", not before \(Duration.seconds(Int64($0)).spoken)" } ?? "")
        case .aborted(let diagnostic):
            what =
                "The cloud broke off (Abort)"
                + (diagnostic.isEmpty ? "" : ": \(sanitized(diagnostic, limit: 500))")
        case .timedOut:
            what = "The cloud no longer answers Pings; the connection is taken for dead"
        case .failed(let message):
            what = "The connection failed: \(sanitized(message, limit: 300))"
        }
        if comesBack {
            return [what + "."]
        }
        return [what + ".", "  " + Advice.lost(address, isNoCloud: isNoCloud)]
    }
}
