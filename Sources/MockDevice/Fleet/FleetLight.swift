package import CBOR
package import CoAP

/// What each device of a fleet serves: a light, at `/light` and, where more links are published, at `/light/1`,
/// `/light/2` and so on. It counts what it was asked, gives back what tells one request from another, and says which
/// was the last to change it. Does no input or output.
package struct FleetLight: Sendable, Equatable {
    private var value = false
    private var brightness: UInt8 = 50
    /// Requests for the light, whatever became of them.
    package private(set) var served: UInt64 = 0
    /// The mark of the last POST it took that had one.
    private var last: DataItem?
    /// Bytes of text that each answer has beside its properties.
    private let padding: Int

    package init(padding: Int = 0) {
        self.padding = padding
    }

    /// What came in, and what goes out.
    package struct Answer: Sendable, Hashable {
        package let response: Response
        /// `?n=…`, as it was written.
        package let queryMark: String?
        /// The member `n` of the body.
        package let bodyMark: DataItem?
        /// A GET or POST of the light.
        package let isLight: Bool
    }

    package static func hrefs(_ count: Int) -> [String] {
        (0..<max(count, 0)).map { $0 == 0 ? "/light" : "/light/\($0)" }
    }

    /// The link as it is published: discoverable and observable.
    package static func link(_ href: String) -> DataItem {
        .map([
            "href": .text(href), "rt": ["oic.r.switch.binary", "oic.r.light.brightness"],
            "if": ["oic.if.a", "oic.if.baseline"], "p": .map(["bm": 3]),
        ])
    }

    package mutating func respond(to request: Request, di: String) -> Answer {
        let queryMark = request.options.queries?.first { $0.hasPrefix("n=") }.map { String($0.dropFirst(2)) }
        let item = request.payload.flatMap { try? DataItem(decoding: $0, limits: DeviceModel.limits) }
        let bodyMark = item?["n"]
        func answer(_ response: Response, isLight: Bool) -> Answer {
            Answer(response: response, queryMark: queryMark, bodyMark: bodyMark, isLight: isLight)
        }
        if let refusal = DeviceModel.refusal(of: request.options) { return answer(refusal, isLight: false) }
        guard let format = DeviceModel.format(for: request.options) else {
            return answer(
                Response(.notAcceptable, diagnostic: "this device answers in Content-Format 10000 or 60, version 1"),
                isLight: false)
        }
        guard Self.isLight(request.options.path ?? []) else {
            let path = (request.options.path ?? []).joined(separator: "/")
            return answer(Response(.notFound, diagnostic: "this device has no resource /\(path)"), isLight: false)
        }
        self.served += 1
        let code: Code
        switch request.method {
        case .get:
            code = .content
        case .post:
            if let problem = self.update(item, isEmpty: request.payload == nil) {
                return answer(Response(.badRequest, diagnostic: problem), isLight: true)
            }
            if let bodyMark { self.last = bodyMark }
            code = .changed
        default:
            return answer(
                Response(.methodNotAllowed, diagnostic: "the light does not take \(request.method.verb)"), isLight: true
            )
        }
        var pairs = self.pairs(di)
        if let mark = bodyMark ?? queryMark.map(DataItem.text) { pairs.append(.init("n", mark)) }
        return answer(Self.response(code, pairs, format, to: request.options), isLight: true)
    }

    /// What an observer is told next: the brightness has changed by itself.
    package mutating func change(di: String) -> Response {
        self.brightness = (self.brightness + 1) % 101
        return Self.response(.content, self.pairs(di), .ocfCBOR, to: Options())
    }

    private mutating func update(_ item: DataItem?, isEmpty: Bool) -> String? {
        if isEmpty { return nil }
        guard let item, item.pairs != nil else { return "the payload must be a map of properties" }
        if let value = item["value"] {
            guard let flag = value.flag else { return "value must be true or false" }
            self.value = flag
        }
        if let brightness = item["brightness"] {
            guard let number = brightness.integer, (0...100).contains(number) else {
                return "brightness must be an integer from 0 to 100"
            }
            self.brightness = UInt8(number)
        }
        return nil
    }

    private func pairs(_ di: String) -> [DataItem.Pair] {
        [
            .init("value", .boolean(self.value)), .init("brightness", .unsigned(UInt64(self.brightness))),
            .init("di", .text(di)), .init("served", .unsigned(self.served)),
        ] + (self.last.map { [.init("last", $0)] } ?? [])
            + (self.padding > 0 ? [.init("padding", .text(String(repeating: "x", count: self.padding)))] : [])
    }

    private static func isLight(_ path: [String]) -> Bool {
        guard path.first == "light" else { return false }
        return path.count == 1 || (path.count == 2 && Int(path[1]).map { $0 > 0 } ?? false)
    }

    private static func response(
        _ code: Code, _ pairs: [DataItem.Pair], _ format: ContentFormat, to asked: Options
    ) -> Response {
        var options = Options()
        options.contentFormat = format
        // Critical, so only towards peers that showed they know it.
        if asked.ocfAcceptVersion != nil || asked.ocfVersion != nil, format == .ocfCBOR {
            options.ocfVersion = .v1_0_0
        }
        return Response(code, options: options, payload: DataItem.map(pairs).encoded())
    }
}
