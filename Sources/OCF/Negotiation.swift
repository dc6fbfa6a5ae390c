package import CBOR
package import CoAP
import NIOCore

/// In which form a request's answer goes out, and how the request's payload is read: Content-Formats 10000, 60 and 50
/// and the version options (OCF Core, content-format and version negotiation).
package struct Negotiation: Hashable, Sendable {
    /// 10000, 60 or 50.
    package let format: ContentFormat
    /// Whether the answer may carry 2053: only a peer that showed to be OCF by sending a version option gets one, since
    /// the option is critical and others drop an answer with it.
    package let carriesVersion: Bool

    /// OCF's own, for an answer to nobody in particular.
    package static let ocf = Negotiation(format: .ocfCBOR, carriesVersion: false)

    private init(format: ContentFormat, carriesVersion: Bool) {
        self.format = format
        self.carriesVersion = carriesVersion
    }

    /// Reads Accept, 2049 and 2053.
    ///
    /// - Throws: 4.06 for an Accept that cannot be met and for a 2049 of another major version than 1; 4.15 for such a
    ///   2053, and for a payload in a format that is not taken.
    package init(_ request: Request) throws(PayloadError) {
        self.format = try Self.answerFormat(request.options)
        let accepted = request.options.ocfAcceptVersion
        let sent = request.options.ocfVersion
        if request.options.contains(.ocfAcceptContentFormatVersion), accepted?.major != 1 {
            throw PayloadError(
                .notAcceptable, "OCF-Accept-Content-Format-Version asks for another major version: 1 is spoken here")
        }
        if request.options.contains(.ocfContentFormatVersion), sent?.major != 1 {
            throw PayloadError(
                .unsupportedContentFormat,
                "OCF-Content-Format-Version names another major version: 1 is spoken here")
        }
        if request.payload != nil {
            _ = try Self.payloadFormat(request.options)
        }
        self.carriesVersion = accepted != nil || sent != nil
    }

    private static let formats: [ContentFormat] = [.ocfCBOR, .cbor, .json]

    private static func answerFormat(_ options: Options) throws(PayloadError) -> ContentFormat {
        guard options.contains(.accept) else { return .ocfCBOR }
        guard let accept = options.accept, Self.formats.contains(accept) else {
            throw PayloadError(
                .notAcceptable,
                "Accept \(options.accept?.rawValue ?? 0) cannot be met: 10000, 60 and 50 can (RFC 7252 §5.10.4)")
        }
        return accept
    }

    /// The format of the payload. Unspecified: without Content-Format it is taken for CBOR, which every OCF peer means.
    private static func payloadFormat(_ options: Options) throws(PayloadError) -> ContentFormat {
        guard options.contains(.contentFormat) else { return .ocfCBOR }
        guard let format = options.contentFormat, Self.formats.contains(format) else {
            throw PayloadError(
                .unsupportedContentFormat,
                "Content-Format \(options.contentFormat?.rawValue ?? 0) is not taken: 10000, 60 and 50 are")
        }
        return format
    }

    /// The payload of a request that needs one.
    ///
    /// - Throws: 4.00 without payload or for one that does not decode, 4.13 for one beyond the limits, 4.15 for a
    ///   format that is not taken.
    package static func payload(
        of request: Request, limits: DecodingLimits = .standard
    ) throws(PayloadError) -> DataItem {
        let format = try Self.payloadFormat(request.options)
        guard let payload = request.payload else { throw PayloadError(.badRequest, "the payload is missing") }
        return try Self.item(payload, format, limits: limits)
    }

    static func item(
        _ payload: ByteBuffer, _ format: ContentFormat, limits: DecodingLimits = .standard
    ) throws(PayloadError) -> DataItem {
        if format == .json {
            do throws(JSONError) {
                return try JSONCoding.decode(payload, limits: limits)
            } catch {
                throw PayloadError(error.code.isAboutSize ? .requestEntityTooLarge : .badRequest, "\(error)")
            }
        }
        do throws(CBORError) {
            let item = try DataItem(decoding: payload, limits: limits)
            // "This is CBOR" in front of an item changes nothing about it (RFC 8949 §3.4.6).
            if case .tagged(55799, let inside) = item { return inside }
            return item
        } catch {
            throw PayloadError(error.code.isAboutSize ? .requestEntityTooLarge : .badRequest, "\(error)")
        }
    }

    /// A response with `item` as its payload in the negotiated form.
    package func response(_ code: Code, _ item: DataItem) -> Response {
        var options = Options()
        options.contentFormat = self.format
        if self.carriesVersion, self.format == .ocfCBOR {
            options.ocfVersion = .v1_0_0
        }
        return Response(
            code, options: options, payload: self.format == .json ? JSONCoding.encode(item) : item.encoded())
    }
}

extension CBORError.Code {
    /// Too many bytes or items, rather than the wrong ones.
    fileprivate var isAboutSize: Bool {
        switch self {
        case .tooManyItems, .tooLarge: true
        case .empty, .truncated, .lengthPastEnd, .trailingBytes, .reservedAdditionalInformation, .reservedSimpleValue,
            .invalidUTF8, .wrongChunk, .missingBreak, .unexpectedBreak, .keyWithoutValue, .duplicateKey, .tooDeep:
            false
        }
    }
}

extension JSONError.Code {
    fileprivate var isAboutSize: Bool {
        switch self {
        case .tooManyItems, .tooLarge: true
        case .empty, .truncated, .unexpected, .trailingBytes, .byteOrderMark, .malformedNumber, .numberOutOfRange,
            .controlCharacter, .malformedEscape, .loneSurrogate, .invalidUTF8, .duplicateName, .nameTooLong, .tooDeep:
            false
        }
    }
}

// MARK: - The asking side

extension Request {
    /// A request as OCF peers send it: Accept 10000 and 2049, and with a payload Content-Format 10000 and 2053.
    package init(ocf method: Code, path: [String], queries: [String] = [], item: DataItem? = nil) {
        var options = Options()
        options.path = path
        options.queries = queries
        options.accept = .ocfCBOR
        options.ocfAcceptVersion = .v1_0_0
        if item != nil {
            options.contentFormat = .ocfCBOR
            options.ocfVersion = .v1_0_0
        }
        self.init(method, options: options, payload: item?.encoded())
    }
}

extension Response {
    /// The payload as an item, nil without one.
    ///
    /// - Throws: `PayloadError` for a Content-Format other than 10000, 60 and 50, and for a payload that does not
    ///   decode.
    package func item(limits: DecodingLimits = .standard) throws(PayloadError) -> DataItem? {
        guard let payload = self.payload else { return nil }
        guard let format = self.options.contentFormat, [.ocfCBOR, .cbor, .json].contains(format) else {
            throw PayloadError(.unsupportedContentFormat, "the payload of the response is neither CBOR nor JSON")
        }
        return try Negotiation.item(payload, format, limits: limits)
    }
}
