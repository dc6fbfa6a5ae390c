import Cloud
package import CoAP
import HTTPTypes
import NIOCore

extension HTTPAnswer {
    /// Maps an answer of the device itself; what the gateway made in its place must have been sorted out before.
    ///
    /// RFC 8075 §7 with the answers of OCF devices.
    ///
    /// - Throws: the problem, for an answer that is an error told in words, or one that cannot be used.
    package init(device answer: CoAP.Response, to exchange: DeviceExchange) throws(Problem) {
        var answer = answer
        answer.options.removeInternal()
        try Self.checkUsable(answer)
        let payload = answer.payload ?? ByteBuffer()
        if !answer.code.isSuccess, answer.options.contentFormat == nil, Self.isText(payload) {
            throw Problem(deviceAnswer: answer, to: exchange)
        }

        self.init(status: Self.status(answer, exchange), fields: Self.fields(answer, exchange))
        if self.status != 304, payload.readableBytes > 0 {
            let content = Self.content(payload, answer.options.contentFormat, exchange.accepted)
            self.body = content.bytes
            self.fields[.contentType] = content.type
        }
    }

    /// RFC 7252 §5.4.1: a response with a critical option nobody knows must be rejected; 2.31 and a block that is not
    /// the last never leave a proxy.
    private static func checkUsable(_ answer: CoAP.Response) throws(Problem) {
        if let option = answer.options.first(where: { $0.number.isCritical && OptionDefinition.of($0.number) == nil }) {
            throw Problem(
                .badDeviceAnswer, "The device answered with the unknown critical option \(option.number).",
                deviceCode: answer.code)
        }
        // RFC 7959 §2.2: the bit of value 8 says that more follows.
        let block = answer.options.first(.block2)?.uint ?? 0
        let isPart = block & 8 == 8
        guard answer.code.kind == .response, answer.code != .continue, !isPart else {
            throw Problem(
                .badDeviceAnswer, "The device answered \(answer.code), which is no whole answer.",
                deviceCode: answer.code)
        }
    }
}

// MARK: - Status

extension HTTPAnswer {
    /// RFC 8075 §7 table 2, and what later documents added.
    package static func status(_ answer: CoAP.Response, _ exchange: DeviceExchange) -> Int {
        switch answer.code {
        case .created: 201
        case .deleted, .changed: answer.payload == nil ? 204 : 200
        case .valid: exchange.isConditional ? 304 : 200
        case .content: 200
        case .badRequest: 400
        // 401 would need WWW-Authenticate, and is about our own tokens only.
        case .unauthorized: 403
        case .badOption: exchange.hasCriticalHeaders ? 400 : 500
        case .forbidden: 403
        case .notFound: 404
        // 405 would need Allow, which nobody knows (RFC 9110 §15.5.6).
        case .methodNotAllowed: 400
        case .notAcceptable: 406
        case .requestEntityIncomplete: 502
        case .conflict: 409
        case .preconditionFailed: 412
        case .requestEntityTooLarge: 413
        case .unsupportedContentFormat: 415
        case .unprocessableEntity: 422
        case .tooManyRequests: 429
        case .internalServerError: 500
        case .notImplemented: 501
        case .badGateway, .proxyingNotSupported, .hopLimitReached: 502
        case .serviceUnavailable: 503
        case .gatewayTimeout: 504
        default:
            // RFC 7252 §5.9: an unknown code counts as the first of its class.
            switch answer.code.codeClass {
            case 2: 200
            case 4: 400
            default: 502
            }
        }
    }

    /// Whole seconds for Retry-After (RFC 8516 §3, RFC 8075 §7).
    package static func retryAfter(_ answer: CoAP.Response) -> Int? {
        guard answer.code == .serviceUnavailable || answer.code == .tooManyRequests else { return nil }
        return answer.options.maxAge.map(Int.init)
    }
}

// MARK: - Header fields

extension HTTPAnswer {
    private static func fields(_ answer: CoAP.Response, _ exchange: DeviceExchange) -> HTTPFields {
        var fields: HTTPFields = [:]
        if let tag = answer.options.first(.eTag)?.bytes, !tag.isEmpty {
            fields[.eTag] = "\"\(tag.map(Self.hex).joined())\""
        }
        // Unspecified: without Max-Age a CoAP answer is fresh for 60 s. State of devices is not kept that long.
        fields[.cacheControl] =
            answer.code.isSuccess ? answer.options.maxAge.map { "max-age=\($0)" } ?? "no-store" : "no-store"
        if let seconds = Self.retryAfter(answer) {
            fields[.retryAfter] = String(seconds)
        }
        if answer.code == .created {
            fields[.location] = Self.location(answer, exchange)
        }
        return fields
    }

    /// Where the new resource is, seen from HTTP: below the device's id.
    private static func location(_ answer: CoAP.Response, _ exchange: DeviceExchange) -> String? {
        let path = answer.options.all(.locationPath).map { $0.string }
        let query = answer.options.all(.locationQuery).map { $0.string }
        guard !(path.isEmpty && query.isEmpty), !path.contains(nil), !query.contains(nil) else { return nil }
        var result = "/" + HTTPTarget.encode(exchange.device.text)
        for segment in path {
            result += "/" + HTTPTarget.encode(segment ?? "")
        }
        if !query.isEmpty {
            result += "?" + query.map { HTTPTarget.encode($0 ?? "", keeping: "=/:;,@") }.joined(separator: "&")
        }
        return result
    }

    private static func hex(_ byte: UInt8) -> String {
        let digits = String(byte, radix: 16)
        return digits.count == 1 ? "0" + digits : digits
    }
}

// MARK: - Bodies

extension HTTPAnswer {
    /// The bytes for the client and their type: CBOR becomes JSON when all of it is one valid item and the client did
    /// not ask for CBOR; everything else passes byte for byte.
    private static func content(
        _ payload: ByteBuffer, _ format: ContentFormat?, _ accepted: AcceptedFormat
    ) -> (bytes: ByteBuffer, type: String) {
        guard let format else { return (payload, Self.guessedType(payload)) }
        if format == .ocfCBOR || format == .cbor, accepted == .json {
            // The old mock device calls plain text CBOR; so the type is the device's word only if the bytes bear it
            // out.
            return Transcoding.json(fromCBOR: payload).map { ($0, "application/json") }
                ?? (payload, Self.guessedType(payload))
        }
        return (payload, format.mediaType ?? "application/coap-payload;cf=\(format.rawValue)")
    }

    private static func guessedType(_ payload: ByteBuffer) -> String {
        Self.isText(payload) ? "text/plain;charset=utf-8" : "application/octet-stream"
    }

    /// Whether people could read it: UTF-8 without control characters other than those of lines. Empty is text.
    private static func isText(_ payload: ByteBuffer) -> Bool {
        guard let text = String(validating: payload.readableBytesView, as: UTF8.self) else { return false }
        return text.unicodeScalars.allSatisfy { scalar in
            scalar.value >= 0x20 && scalar.value != 0x7F || "\r\n\t".unicodeScalars.contains(scalar)
        }
    }
}
