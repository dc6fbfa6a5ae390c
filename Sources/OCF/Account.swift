package import CBOR
package import Cloud
package import CoAP

/// Sign-up: what `POST /oic/sec/account` carries (OCF CNC, oic.r.account).
package struct SignUpRequest: Equatable, Sendable {
    package var di: DeviceID
    /// The one-time code.
    package var accessToken: Secret
    /// Nil without one, which means the provider of the registration.
    package var authProvider: String?
    /// The user the peer believes to belong to. Only sent, never believed: the code says whose it is.
    package var uid: String?

    package init(di: DeviceID, accessToken: Secret, authProvider: String? = nil, uid: String? = nil) {
        self.di = di
        self.accessToken = accessToken
        self.authProvider = authProvider
        self.uid = uid
    }

    /// - Throws: 4.00 that names the field; 4.01 for a code longer than any of ours.
    package init(_ item: DataItem) throws(PayloadError) {
        let fields = try Fields(item)
        self.di = try fields.device("di")
        // `authcode` is what stacks before OCF 2.0 call it.
        self.accessToken =
            try fields["accesstoken"] == nil && fields["authcode"] != nil
            ? fields.secret("authcode") : fields.secret("accesstoken")
        let provider = try fields.optionalText("authprovider")
        self.authProvider = provider?.isEmpty == true ? nil : provider
        self.uid = try fields.optionalText("uid")
    }

    package var item: DataItem {
        var pairs: [DataItem.Pair] = [.init("di", .text(self.di.text))]
        if let uid { pairs.append(.init("uid", .text(uid))) }
        if let authProvider { pairs.append(.init("authprovider", .text(authProvider))) }
        pairs.append(.init("accesstoken", .text(self.accessToken.reveal())))
        return .map(pairs)
    }
}

/// What a sign-up answers.
package struct SignUpResponse: Equatable, Sendable {
    package var credentials: Credentials
    /// Where the device shall sign in instead; nil or empty: here.
    package var redirectURI: String?

    package init(_ credentials: Credentials, redirectURI: String? = nil) {
        self.credentials = credentials
        self.redirectURI = redirectURI
    }

    package init(_ item: DataItem) throws(PayloadError) {
        let fields = try Fields(item)
        let tokens = try RefreshResponse(item)
        self.credentials = Credentials(
            accessToken: tokens.accessToken,
            refreshToken: tokens.refreshToken,
            expiresIn: tokens.expiresIn,
            uid: try fields.user("uid"),
        )
        self.redirectURI = try fields.optionalText("redirecturi")
    }

    package var item: DataItem {
        var pairs = RefreshResponse(self.credentials).pairs
        pairs.append(.init("uid", .text(self.credentials.uid.text)))
        if let redirectURI { pairs.append(.init("redirecturi", .text(redirectURI))) }
        return .map(pairs)
    }
}

/// Sign-off: the queries of `DELETE /oic/sec/account`. What is missing is taken from the session.
package struct SignOffRequest: Equatable, Sendable {
    package var di: DeviceID?
    package var uid: UserID?
    package var accessToken: Secret?

    /// - Throws: 4.00 that names the query; 4.01 for a token longer than any of ours.
    package init(_ options: Options) throws(PayloadError) {
        let query = try Query(options)
        self.di = try query.device("di")
        self.uid = try query.user("uid")
        self.accessToken = nil
        if let text = try query.single("accesstoken") {
            guard let secret = Secret(text) else {
                throw PayloadError(
                    .unauthorized, "accesstoken is longer than any token of this cloud", field: "accesstoken")
            }
            self.accessToken = secret
        }
    }
}
