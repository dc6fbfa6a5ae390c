package import CBOR
package import CoAP
import NIOCore

/// Requests as OCF peers send them.
extension Request {
    /// A request with an OCF payload: content format 10000, versions 2049 and 2053.
    package static func ocf(
        _ method: Code, _ path: String, queries: [String] = [], _ payload: DataItem? = nil
    ) -> Request {
        var options = Options()
        options.path = path.split(separator: "/").map(String.init)
        options.queries = queries
        options.accept = .ocfCBOR
        options.ocfAcceptVersion = .v1_0_0
        if payload != nil {
            options.contentFormat = .ocfCBOR
            options.ocfVersion = .v1_0_0
        }
        return Request(method, options: options, payload: payload?.encoded())
    }

    package static func signUp(di: String, code: String) -> Request {
        .ocf(.post, "oic/sec/account", .map(["di": .text(di), "accesstoken": .text(code)]))
    }

    package static func signIn(uid: String, di: String, accessToken: String, login: Bool = true) -> Request {
        .ocf(
            .post, "oic/sec/session",
            .map([
                "uid": .text(uid), "di": .text(di), "accesstoken": .text(accessToken), "login": .boolean(login),
            ]))
    }

    package static func refresh(uid: String, di: String, refreshToken: String) -> Request {
        .ocf(
            .post, "oic/sec/tokenrefresh",
            .map(["uid": .text(uid), "di": .text(di), "refreshtoken": .text(refreshToken)]))
    }

    package static func publish(di: String, hrefs: [String], ttl: Int64 = 0) -> Request {
        let links = hrefs.map { href in
            DataItem.map([
                "href": .text(href), "rt": .array([.text("x.example.thing")]),
                "if": .array([.text("oic.if.baseline")]), "p": .map(["bm": .unsigned(3)]),
            ])
        }
        return .ocf(
            .post, "oic/rd", queries: ["rt=oic.wk.rdpub"],
            .map(["di": .text(di), "links": .array(links), "ttl": DataItem(integer: ttl)]))
    }
}

extension Message {
    /// The payload as a data item, nil if there is none or it is none.
    package var item: DataItem? {
        self.payload.flatMap { try? DataItem(decoding: $0) }
    }

    /// The payload as text.
    package var text: String {
        self.payload.map { String(buffer: $0) } ?? ""
    }
}
