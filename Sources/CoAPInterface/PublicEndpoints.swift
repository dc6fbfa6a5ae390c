package import CoAPTransport

/// What clients dial where that is not where we listen: at most one endpoint for each scheme.
package struct PublicEndpoints: Hashable, Sendable {
    private var endpoints: [URIScheme: String] = [:]

    /// None: clients dial where we listen.
    package init() {}

    /// - Parameter texts: `SCHEME://HOST:PORT`. Nil if one has another scheme, or two have the same.
    package init?(_ texts: [String]) {
        for text in texts {
            guard let scheme = URIScheme.allCases.first(where: { text.hasPrefix("\($0.rawValue)://") }),
                self.endpoints.updateValue(text, forKey: scheme) == nil
            else { return nil }
        }
    }

    /// What the peers of a listener have dialled. Where none is given for a listener without TLS, something in front of
    /// it may end TLS: then the secure one is it.
    package func endpoint(for scheme: URIScheme) -> String? {
        if let own = self.endpoints[scheme] { return own }
        return switch scheme {
        case .tcp: self.endpoints[.tls]
        case .webSocket: self.endpoints[.secureWebSocket]
        case .tls, .secureWebSocket: nil
        }
    }

    /// `HOST:PORT` of the one of this very scheme.
    func exact(_ scheme: URIScheme) -> String? {
        self.endpoints[scheme].map { String($0.dropFirst(scheme.rawValue.count + 3)) }
    }

    /// All of them.
    var all: [String] { self.endpoints.values.sorted() }

    /// The first that people would dial.
    package var first: String? { URIScheme.allCases.lazy.compactMap { self.endpoints[$0] }.first }
}
