package import CBOR
package import Cloud
package import CoAP

/// The answers about a token that was good, written in one place: the registry gives them, and so does whoever has a
/// copy of what the registry knew.
package enum RegistryAnswer {
    /// The answer of `POST registry/tokens`.
    package static func principal(_ known: Recognition, _ negotiation: Negotiation) -> Response {
        var response = negotiation.response(.content, known.item)
        response.options.sequence = UInt64(exactly: known.sequence)
        return response
    }

    /// The answer of a sign-in; nil if the principal is none that signs in, or not the one of `uid` and `di`.
    ///
    /// - Parameter uid: as the peer wrote it, as is `di`.
    package static func signedIn(
        _ known: Recognition, uid: UserID, di: DeviceID, _ negotiation: Negotiation
    ) -> Response? {
        guard known.principal.uid == uid, known.principal.di == di else { return nil }
        let kind: DeviceKind
        switch known.principal.kind {
        case .client: kind = .client
        case .device: kind = .device
        case .user, .mediator: return nil
        }
        let expiresIn = Credentials.expiresIn(known.remaining)
        var response = negotiation.response(.changed, SessionResponse(expiresIn: expiresIn).item)
        response.options.sessionUser = uid.text
        response.options.sessionDevice = di.text
        response.options.sessionKind = kind.rawValue
        response.options.sessionFamily = known.principal.family?.text
        response.options.setSessionExpiry(expiresIn: expiresIn)
        response.options.sequence = UInt64(exactly: known.sequence)
        return response
    }

    /// What the answer of a sign-in says, as far as a cache must know it. The moment the token ends by the registry's
    /// clock is not among it; `now` is that clock, if it is known.
    package static func recognition(inSignIn response: Response, now: Timestamp?) -> Recognition? {
        let options = response.options
        guard response.code == .changed, let sequence = options.sequence.flatMap({ Int64(exactly: $0) }),
            let uid = options.sessionUser.flatMap({ try? UserID($0) }),
            let di = options.sessionDevice.flatMap({ try? DeviceID($0) }),
            let kind = options.sessionKind.flatMap(DeviceKind.init(rawValue:)), let family = options.sessionFamily
        else { return nil }
        let remaining = options.sessionExpiryMilliseconds.map { Duration.milliseconds(Int64(clamping: $0)) }
        // Without the registry's clock the moment is unknown: only what never ends can be written down.
        guard remaining == nil || now != nil else { return nil }
        let expiresAt = remaining.flatMap { remaining in now.map { $0 + remaining } }
        return Recognition(
            principal: Principal(
                kind: kind.principalKind, uid: uid, di: di, expiresAt: expiresAt, family: FamilyID(stored: family)),
            sequence: sequence, remaining: remaining)
    }

    /// What the answer of `POST registry/tokens` says.
    package static func recognition(inPrincipal response: Response) -> Recognition? {
        guard response.code == .content, let sequence = response.options.sequence.flatMap({ Int64(exactly: $0) }),
            let item = try? response.item()
        else { return nil }
        return try? Recognition(item, sequence: sequence)
    }
}

extension Recognition {
    package init(_ item: DataItem, sequence: Int64) throws(PayloadError) {
        let principal = try Principal(item)
        let remaining = try Fields(item).optionalInteger("remaining").map { Duration.milliseconds($0) }
        guard (remaining == nil) == (principal.expiresAt == nil) else {
            throw PayloadError(.badGateway, "expires and remaining do not belong together", field: "remaining")
        }
        self.init(principal: principal, sequence: sequence, remaining: remaining)
    }

    /// The principal, and how many milliseconds the token still lives.
    package var item: DataItem {
        var pairs = self.principal.item.pairs ?? []
        if let remaining { pairs.append(.init("remaining", DataItem(integer: remaining.clampedMilliseconds))) }
        return .map(pairs)
    }
}

extension Options {
    /// - Parameter expiresIn: in seconds, as devices are told; -1 for ever.
    package mutating func setSessionExpiry(expiresIn: Int) {
        self.sessionExpiryMilliseconds = UInt64(exactly: expiresIn).map { $0 * 1000 }
    }
}
