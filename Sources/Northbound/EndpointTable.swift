import Cloud
package import HTTPTypes

/// Every endpoint of the northbound, in the order they are tried: fixed routes come before `/{di}/…`.
package enum EndpointTable {
    package static let all: [Endpoint] =
        [
            Endpoint(
                .post, "/register/user", .registerUser, [],
                "Anybody, while registration is open."),
            Endpoint(
                .post, "/provision/mediator", .provisionMediator, [],
                "The user: his uid and access token stand in the body."),
            Endpoint(.post, "/provision/client", .provisionClient, [.mediator], "For clients of the mediator's user."),
            Endpoint(.post, "/provision/device", .provisionDevice, [.mediator], "For devices of the mediator's user."),
            Endpoint(
                .post, "/oic/sec/account", .signUp, [],
                "Whoever has a one-time code: it stands in the body."),
            Endpoint(
                .post, "/oic/sec/tokenrefresh", .refresh, [],
                "The client or device: its refresh token stands in the body."),
            Endpoint(.get, "/oic/res", .discover, [.user, .client], "Lists resources of the owner's devices."),
            Endpoint(.get, "/devices", .listDevices, [.user, .client], "Lists the owner's devices."),
            Endpoint(.get, "/devices/{di}", .showDevice, [.user, .client], "A device of the owner."),
            Endpoint(
                .get, "/events", .followEvents, [.user, .client], "What happens to the owner's devices, as it does."),
            Endpoint(.delete, "/devices/{di}", .deleteDevice, [.user], "A device of the user."),
            Endpoint(
                .delete, "/clients/{di}", .deleteClient, [.user, .client], "A client of the user; a client itself."),
            Endpoint(.get, "/mediators", .listMediators, [.user], "Lists the user's mediators, without their tokens."),
            Endpoint(.delete, "/mediators/{id}", .deleteMediator, [.user], "A mediator of the user."),
            Endpoint(.delete, "/users/{uid}", .deleteUser, [.user], "The user himself."),
            Endpoint(.get, "/openapi.yaml", .openAPI, [], "Anybody."),
            Endpoint(.get, "/errors", .errors, [], "Anybody."),
        ] + DeviceExchange.methods.map { Self.device($0) }

    private static func device(_ method: HTTPRequest.Method) -> Endpoint {
        Endpoint(method, "/{di}/{href…}", .askDevice, [.user, .client], "A device of the owner.")
    }

    /// The outcome of looking a request up.
    package enum Match: Hashable, Sendable {
        case found(Endpoint, PathParameters)
        /// The path exists, but not with this method.
        case otherMethods([HTTPRequest.Method])
        case nothing
    }

    /// Methods HTTP knows and this table could have; everything else is not implemented.
    package static let knownMethods: Set<HTTPRequest.Method> = [.get, .head, .post, .put, .patch, .delete]

    /// The endpoint for a path. HEAD is GET without its body wherever it has no row of its own (RFC 9110 §9.3.2).
    package static func match(_ method: HTTPRequest.Method, _ path: [String]) -> Match {
        // A path that begins with a word of ours never names a device.
        let isOurs = ReservedSegments.all.contains(path.first ?? "")
        var others: [HTTPRequest.Method] = []
        for endpoint in Self.all where (endpoint.path.firstLiteral != nil) == isOurs {
            guard let parameters = endpoint.path.match(path) else { continue }
            if endpoint.method == method { return .found(endpoint, parameters) }
            if method == .head, endpoint.method == .get, isOurs { return .found(endpoint, parameters) }
            others.append(endpoint.method)
        }
        if others.contains(.get), !others.contains(.head) { others.append(.head) }
        return others.isEmpty ? .nothing : .otherMethods(others)
    }
}
