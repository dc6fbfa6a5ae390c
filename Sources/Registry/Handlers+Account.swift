import CBOR
import Cloud
import CoAP
import OCF

/// oic.r.account, oic.r.session, oic.r.tokenrefresh (OCF CNC).
extension Handlers {
    /// Exchanges a one-time code. Signs up, does not sign in.
    @Sendable func signUp(_ exchange: Exchange) async throws -> Reply {
        let request = try SignUpRequest(Negotiation.payload(of: exchange.request))
        let credentials = try await self.identity.signUp(
            di: request.di, code: request.accessToken, authProvider: request.authProvider)
        let answer = SignUpResponse(credentials, redirectURI: self.redirectURI)
        return Reply(
            exchange.negotiation.response(.changed, answer.item), uid: credentials.uid, di: request.di)
    }

    /// Ends a registration. The answer names the devices that are gone in `sessionDevice`, so that the connection the
    /// request came in on knows whether its session ends.
    @Sendable func signOff(_ exchange: Exchange) async throws -> Reply {
        let request = try SignOffRequest(exchange.request.options)
        let gone = try await self.identity.signOff(
            di: request.di, uid: request.uid, accessToken: request.accessToken, session: exchange.session)
        var response = Response(.deleted)
        for di in gone {
            response.options.append(.sessionDevice, string: di.text)
        }
        // Whoever asked on its own session is left its connection until it has this answer; a newer session is not.
        self.endSessions(gone)
        return Reply(response, uid: request.uid ?? exchange.user, di: gone.first)
    }

    /// Signs in or out. The answer to a sign-in tells the connection whose session it is, in internal options; an
    /// answer without them ended the session.
    @Sendable func session(_ exchange: Exchange) async throws -> Reply {
        switch try SessionRequest(Negotiation.payload(of: exchange.request)) {
        case .signIn(let uid, let di, let accessToken):
            let session = try await self.identity.signIn(uid: uid, di: di, accessToken: accessToken)
            guard let response = RegistryAnswer.signedIn(session.recognition, uid: uid, di: di, exchange.negotiation)
            else { throw PayloadError(.unauthorized, "the access token is not a device's", field: "accesstoken") }
            self.remember(session.recognition, accessToken)
            return Reply(response, uid: uid, di: di)
        case .signOut(let uid, let di, let accessToken):
            try await self.checkSignOut(uid: uid, di: di, accessToken: accessToken, exchange)
            return Reply(
                exchange.negotiation.response(.changed, [:]), uid: uid ?? exchange.user, di: di ?? exchange.device)
        }
    }

    /// Writes down for other programs who stands behind a token that was used.
    func remember(_ known: Recognition, _ token: Secret) {
        let lifetime = min(known.remaining ?? Self.sharedLifetime, Self.sharedLifetime)
        guard lifetime > .zero else { return }
        self.tokenCache?.keep(known.cached, for: token.hash, lifetime: lifetime)
    }

    /// How long what is written there may be used.
    static let sharedLifetime: Duration = .seconds(600)

    /// The connection itself proves who signs out, so a token that ran out does not keep anybody in. Unspecified:
    /// without a session a sign-out that names itself fully is checked like a sign-in, and changes nothing: the second
    /// of two gets the answer of the first.
    private func checkSignOut(
        uid: UserID?, di: DeviceID?, accessToken: Secret?, _ exchange: Exchange
    ) async throws {
        if let session = exchange.session {
            guard uid ?? session.uid == session.uid, di ?? session.di == session.di else {
                throw PayloadError(
                    .unauthorized,
                    "uid and di are not those of the session: sign out on the connection you signed in on")
            }
            return
        }
        guard let uid, let di, let accessToken else {
            throw PayloadError(
                .badRequest, "there is no session to end: give uid, di and accesstoken, or sign in first",
                field: uid == nil ? "uid" : di == nil ? "di" : "accesstoken")
        }
        _ = try await self.identity.signIn(uid: uid, di: di, accessToken: accessToken)
    }

    /// Changes a refresh token for a new pair. Does not sign in.
    @Sendable func refresh(_ exchange: Exchange) async throws -> Reply {
        let request = try RefreshRequest(Negotiation.payload(of: exchange.request))
        let credentials = try await self.identity.refresh(
            uid: request.uid, di: request.di, refreshToken: request.refreshToken)
        var response = exchange.negotiation.response(.changed, RefreshResponse(credentials).item)
        // A live session of this device goes on as long as the new token lives.
        response.options.sessionDevice = request.di.text
        response.options.setSessionExpiry(expiresIn: credentials.expiresIn)
        return Reply(response, uid: request.uid, di: request.di)
    }
}
