package import CBOR
package import Cloud

/// What `POST /oic/sec/tokenrefresh` carries (OCF CNC, oic.r.tokenrefresh).
package struct RefreshRequest: Equatable, Sendable {
    package var uid: UserID
    package var di: DeviceID
    package var refreshToken: Secret

    package init(uid: UserID, di: DeviceID, refreshToken: Secret) {
        self.uid = uid
        self.di = di
        self.refreshToken = refreshToken
    }

    /// - Throws: 4.00 that names the field; 4.01 for a token longer than any of ours.
    package init(_ item: DataItem) throws(PayloadError) {
        let fields = try Fields(item)
        self.uid = try fields.user("uid")
        self.di = try fields.device("di")
        self.refreshToken = try fields.secret("refreshtoken")
    }

    package var item: DataItem {
        .map([
            "uid": .text(self.uid.text), "di": .text(self.di.text),
            "refreshtoken": .text(self.refreshToken.reveal()),
        ])
    }
}

/// What a refresh answers.
package struct RefreshResponse: Equatable, Sendable {
    package var accessToken: Secret
    package var refreshToken: Secret
    /// Seconds the access token lives; -1: for ever.
    package var expiresIn: Int

    package init(_ credentials: Credentials) {
        self.accessToken = credentials.accessToken
        self.refreshToken = credentials.refreshToken
        self.expiresIn = credentials.expiresIn
    }

    package init(_ item: DataItem) throws(PayloadError) {
        let fields = try Fields(item)
        self.accessToken = try fields.secret("accesstoken")
        self.refreshToken = try fields.secret("refreshtoken")
        self.expiresIn = Int(try fields.integer("expiresin"))
    }

    var pairs: [DataItem.Pair] {
        [
            .init("accesstoken", .text(self.accessToken.reveal())),
            .init("refreshtoken", .text(self.refreshToken.reveal())),
            .init("expiresin", DataItem(integer: Int64(self.expiresIn))),
        ]
    }

    package var item: DataItem { .map(self.pairs) }
}
