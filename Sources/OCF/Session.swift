package import CBOR
package import Cloud

/// Sign-in and sign-out: what `POST /oic/sec/session` carries (OCF CNC, oic.r.session).
package enum SessionRequest: Equatable, Sendable {
    case signIn(uid: UserID, di: DeviceID, accessToken: Secret)
    /// What is missing is taken from the session.
    case signOut(uid: UserID?, di: DeviceID?, accessToken: Secret?)

    /// - Throws: 4.00 that names the field. Unspecified: `login` may not be absent, since guessing wrong would end or
    ///   start a session.
    package init(_ item: DataItem) throws(PayloadError) {
        let fields = try Fields(item)
        if try fields.flag("login") {
            self = .signIn(
                uid: try fields.user("uid"),
                di: try fields.device("di"),
                accessToken: try fields.secret("accesstoken"),
            )
        } else {
            self = .signOut(
                uid: try fields.optionalUser("uid"),
                di: try fields.optionalDevice("di"),
                accessToken: try fields.optionalSecret("accesstoken"),
            )
        }
    }

    package var item: DataItem {
        let (uid, di, accessToken, login): (UserID?, DeviceID?, Secret?, Bool) =
            switch self {
            case .signIn(let uid, let di, let accessToken): (uid, di, accessToken, true)
            case .signOut(let uid, let di, let accessToken): (uid, di, accessToken, false)
            }
        var pairs: [DataItem.Pair] = []
        if let uid { pairs.append(.init("uid", .text(uid.text))) }
        if let di { pairs.append(.init("di", .text(di.text))) }
        if let accessToken { pairs.append(.init("accesstoken", .text(accessToken.reveal()))) }
        pairs.append(.init("login", .boolean(login)))
        return .map(pairs)
    }
}

/// What a sign-in answers; a sign-out answers an empty map.
package struct SessionResponse: Hashable, Sendable {
    /// Seconds the access token still lives; -1: for ever. Devices fail without it.
    package var expiresIn: Int

    package init(expiresIn: Int) {
        self.expiresIn = expiresIn
    }

    package init(_ item: DataItem) throws(PayloadError) {
        self.expiresIn = Int(try Fields(item).integer("expiresin"))
    }

    package var item: DataItem { .map([.init("expiresin", DataItem(integer: Int64(self.expiresIn)))]) }
}
