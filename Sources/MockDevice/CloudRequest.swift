package import CBOR
package import Cloud
package import CoAP

/// The requests of a device, as the reference device stack words them.
package enum CloudRequest {
    /// POST oic/sec/account (OCF CNC).
    package static func signUp(di: String, uid: String, code: Secret) -> Request {
        var entries: [DataItem.Pair] = [.init("di", .text(di)), .init("accesstoken", .text(code.reveal()))]
        if !uid.isEmpty {
            entries.append(.init("uid", .text(uid)))
        }
        entries.append(.init("devicetype", "device"))
        return Self.request(.post, ["oic", "sec", "account"], .map(entries))
    }

    /// POST oic/sec/session: `login` true to sign in, false to sign out.
    package static func session(di: String, uid: String, accessToken: Secret, login: Bool) -> Request {
        Self.request(
            .post, ["oic", "sec", "session"],
            [
                "uid": .text(uid), "di": .text(di), "accesstoken": .text(accessToken.reveal()),
                "login": .boolean(login),
            ]
        )
    }

    /// POST oic/sec/tokenrefresh.
    package static func refresh(di: String, uid: String, refreshToken: Secret) -> Request {
        Self.request(
            .post, ["oic", "sec", "tokenrefresh"],
            [
                "uid": .text(uid), "di": .text(di), "granttype": "refresh_token",
                "refreshtoken": .text(refreshToken.reveal()),
            ]
        )
    }

    /// POST oic/rd, with links that never expire (`ttl` 0).
    package static func publish(di: String, links: [DataItem]) -> Request {
        Self.request(
            .post, ["oic", "rd"], queries: ["rt=oic.wk.rdpub"],
            ["di": .text(di), "ttl": 0, "links": .array(links)]
        )
    }

    /// DELETE oic/rd without `ins`: everything this device published.
    package static func unpublish(di: String) -> Request {
        Self.request(.delete, ["oic", "rd"], queries: ["di=\(di)"], nil)
    }

    /// Accept and 2049 always; Content-Format and 2053 with a payload.
    private static func request(
        _ method: Code, _ path: [String], queries: [String] = [], _ payload: DataItem?,
    ) -> Request {
        var request = Request(method, path: path, queries: queries, payload: payload?.encoded())
        request.options.accept = .ocfCBOR
        request.options.ocfAcceptVersion = .v1_0_0
        if payload != nil {
            request.options.contentFormat = .ocfCBOR
            request.options.ocfVersion = .v1_0_0
        }
        return request
    }
}
