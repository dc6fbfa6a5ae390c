import CBOR
import CoAP
import NIOCore

/// Requests as OCF peers send them.
extension Request {
    /// Content format 10000, versions 2049 and 2053.
    static func ocf(_ method: Code, _ path: String, queries: [String] = [], _ payload: DataItem? = nil) -> Request {
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

    static func signUp(di: String, code: String) -> Request {
        .ocf(.post, "oic/sec/account", .map(["di": .text(di), "accesstoken": .text(code)]))
    }

    static func signIn(_ login: CaseContext.Login, isIn: Bool = true) -> Request {
        .ocf(
            .post, "oic/sec/session",
            .map([
                "uid": .text(login.uid), "di": .text(login.di), "accesstoken": .text(login.accessToken),
                "login": .boolean(isIn),
            ]))
    }

    static func refresh(_ login: CaseContext.Login) -> Request {
        .ocf(
            .post, "oic/sec/tokenrefresh",
            .map([
                "uid": .text(login.uid), "di": .text(login.di), "refreshtoken": .text(login.refreshToken),
            ]))
    }

    static func publish(di: String, _ links: [DataItem], ttl: Int64 = 0) -> Request {
        .ocf(
            .post, "oic/rd", queries: ["rt=oic.wk.rdpub"],
            .map(["di": .text(di), "links": .array(links), "ttl": DataItem(integer: ttl)]))
    }

    /// A request for a resource behind the cloud.
    static func resource(
        _ method: Code, _ di: String, _ path: String, queries: [String] = [], _ payload: DataItem? = nil
    ) -> Request {
        .ocf(method, "\(di)/\(path)", queries: queries, payload)
    }
}

/// A link as devices publish it.
func link(_ href: String, rt: String = "x.conformance", bm: UInt64 = 3, _ more: [DataItem.Pair] = []) -> DataItem {
    .map(
        [
            .init("href", .text(href)), .init("rt", .array([.text(rt)])),
            .init("if", .array([.text("oic.if.baseline")])), .init("p", .map(["bm": .unsigned(bm)])),
        ] + more)
}

extension Message {
    /// Capabilities and settings, from option numbers and values.
    static func csm(_ options: (number: UInt16, value: UInt64?)...) -> Message {
        var message = Message(code: .capabilitiesAndSettings, token: .fresh())
        for (number, value) in options {
            let number = OptionNumber(rawValue: number)
            if let value {
                message.options.append(number, uint: value)
            } else {
                message.options.append(number)
            }
        }
        return message
    }

    /// The payload as a data item, nil if it is none.
    var item: DataItem? {
        self.payload.flatMap { try? DataItem(decoding: $0, limits: DecodingLimits(bytes: 1 << 20)) }
    }

    var text: String {
        self.payload.map { String(buffer: $0) } ?? ""
    }

    /// The frame's bytes.
    var frame: [UInt8] {
        var buffer = ByteBuffer()
        self.writeFrame(into: &buffer)
        return Array(buffer.readableBytesView)
    }
}

extension Response {
    /// 2.05 with OCF's content format.
    static func content(_ item: DataItem) -> Response {
        var response = Response(.content, payload: item.encoded())
        response.options.contentFormat = .ocfCBOR
        response.options.ocfVersion = .v1_0_0
        return response
    }
}
