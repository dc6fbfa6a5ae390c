import Cloud
import CoAP
import OCF

/// A request that asks about an access token, and may be answered from a cache: a sign-in, or one of our programs that
/// wants to know who stands behind it.
struct TokenQuestion: Sendable {
    /// What makes two requests the same question. A sign-in of another uid or di is another one.
    struct Key: Hashable, Sendable {
        let hash: SecretHash
        let uid: UserID?
        let di: DeviceID?
    }

    let key: Key
    private let negotiation: Negotiation

    /// Nil for every other request, and for what the registry would refuse before it looks at the token.
    init?(_ request: Request) {
        guard request.method == .post, let path = request.options.path else { return nil }
        switch path {
        case OCFPath.session, OCFPath.legacySession:
            guard let negotiation = try? Negotiation(request), let item = try? Negotiation.payload(of: request),
                case .signIn(let uid, let di, let token)? = try? SessionRequest(item)
            else { return nil }
            self.negotiation = negotiation
            self.key = Key(hash: token.hash, uid: uid, di: di)
        case RegistryProtocol.tokens:
            let options = request.options
            guard options.caller != nil, options.sessionUser == nil, options.sessionDevice == nil,
                let negotiation = try? Negotiation(request), let item = try? Negotiation.payload(of: request),
                let holder = try? TokenHolder(item)
            else { return nil }
            self.negotiation = negotiation
            self.key = Key(hash: holder.token.hash, uid: nil, di: nil)
        default:
            return nil
        }
    }

    /// What the registry would answer; nil if only it can tell: the token is not the one of this uid and di.
    func answer(_ known: Recognition) -> Response? {
        guard let uid = self.key.uid, let di = self.key.di else {
            return RegistryAnswer.principal(known, self.negotiation)
        }
        return RegistryAnswer.signedIn(known, uid: uid, di: di, self.negotiation)
    }

    /// What a success of the registry says.
    func recognition(in response: Response, registryNow: Timestamp?) -> Recognition? {
        self.key.uid == nil
            ? RegistryAnswer.recognition(inPrincipal: response)
            : RegistryAnswer.recognition(inSignIn: response, now: registryNow)
    }
}
