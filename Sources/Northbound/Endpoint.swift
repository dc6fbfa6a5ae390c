package import Cloud
package import HTTPTypes

/// One row of the table the router, docs/http.md, the test of openapi.yaml and the test of wrong principals are made
/// from.
package struct Endpoint: Hashable, Sendable {
    /// What is done: the responder switches over it.
    package enum Action: String, Hashable, Sendable, CaseIterable {
        case registerUser
        case provisionMediator
        case provisionClient
        case provisionDevice
        case signUp
        case refresh
        case discover
        case listDevices
        case showDevice
        case followEvents
        case listMediators
        case deleteMediator
        case deleteUser
        case deleteClient
        case deleteDevice
        case askDevice
        case openAPI
        case errors
    }

    package var method: HTTPRequest.Method
    package var path: PathPattern
    package var action: Action
    /// Whose token lets in; empty where none is asked for, because the proof is in the body or none is needed.
    package var principals: Set<Principal.Kind>
    /// Who that is, in words, where the kinds alone do not say it.
    package var note: String

    init(
        _ method: HTTPRequest.Method,
        _ path: PathPattern,
        _ action: Action,
        _ principals: Set<Principal.Kind>,
        _ note: String,
    ) {
        self.method = method
        self.path = path
        self.action = action
        self.principals = principals
        self.note = note
    }
}

/// A path of literal segments and named ones: `/devices/{di}`; the last takes all that follows where it is written
/// `{href…}`.
package struct PathPattern: Hashable, Sendable, ExpressibleByStringLiteral {
    package enum Segment: Hashable, Sendable {
        case literal(String)
        case parameter(String)
        /// At least one segment, possibly empty.
        case rest(String)
    }

    package let segments: [Segment]
    /// As documents and access lines have it, without the mark of the last.
    package let text: String

    package init(stringLiteral text: String) {
        self.text = text.replacing("…", with: "")
        self.segments = text.split(separator: "/").map { piece in
            guard piece.hasPrefix("{"), piece.hasSuffix("}") else { return .literal(String(piece)) }
            let name = piece.dropFirst().dropLast()
            return name.hasSuffix("…") ? .rest(String(name.dropLast())) : .parameter(String(name))
        }
    }

    /// The first segment, if it is a literal one.
    package var firstLiteral: String? {
        if case .literal(let text)? = self.segments.first { text } else { nil }
    }

    /// What the named segments stand for, nil if `path` is another one.
    package func match(_ path: [String]) -> PathParameters? {
        var parameters = PathParameters()
        for (index, segment) in self.segments.enumerated() {
            guard index < path.count else { return nil }
            switch segment {
            case .literal(let text):
                guard path[index].utf8.elementsEqual(text.utf8) else { return nil }
            case .parameter(let name):
                parameters.named[name] = path[index]
            case .rest:
                parameters.rest = Array(path[index...])
                return parameters
            }
        }
        return path.count == self.segments.count ? parameters : nil
    }
}

/// What the named segments of a path stand for.
package struct PathParameters: Hashable, Sendable {
    package var named: [String: String] = [:]
    package var rest: [String] = []
}
