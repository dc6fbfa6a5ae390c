package import Cloud
package import CoAP
package import HTTPTypes
package import NIOCore

/// One request to a device: what goes to it, and what must be remembered to understand its answer.
package struct DeviceExchange: Hashable, Sendable {
    /// Uri-Path is the device's id, then the path on the device.
    package var request: CoAP.Request
    package var device: DeviceID
    /// What the client wants back.
    package var accepted: AcceptedFormat
    /// The client has a representation and asks whether it is still good: 2.03 is then 304.
    package var isConditional: Bool
    /// Critical options stand in the request because of header fields, so that 4.02 is the client's fault.
    package var hasCriticalHeaders: Bool
}

/// The HTTP side of a request to a device.
package struct DeviceHTTPRequest: Sendable {
    package var method: HTTPRequest.Method
    package var device: DeviceID
    /// The path on the device.
    package var segments: [String]
    package var queries: [String]
    package var fields: HTTPFields
    package var body: ByteBuffer

    package init(
        method: HTTPRequest.Method,
        device: DeviceID,
        segments: [String],
        queries: [String] = [],
        fields: HTTPFields = [:],
        body: ByteBuffer = ByteBuffer(),
    ) {
        self.method = method
        self.device = device
        self.segments = segments
        self.queries = queries
        self.fields = fields
        self.body = body
    }
}

extension DeviceExchange {
    /// The methods devices can be reached with.
    package static let methods: [HTTPRequest.Method] = [.get, .head, .post, .put, .delete]

    /// Maps an HTTP request to CoAP (RFC 8075 §5, with OCF's defaults).
    ///
    /// - Throws: `methodNotAllowed`, `notAcceptable`, `unsupportedMediaType`, `badHeader`, `preconditionFailed`.
    package init(_ http: DeviceHTTPRequest) throws(Problem) {
        guard Self.methods.contains(http.method) else {
            throw Problem(.methodNotAllowed, allowed: Self.methods.map(\.rawValue))
        }
        let reads = http.method == .get || http.method == .head
        var options = Options()
        // A path of nothing but a slash is no Uri-Path at all (RFC 7252 §6.4).
        let path = http.segments == [""] ? [] : http.segments
        options.path = [http.device.text] + path
        options.queries = http.queries

        self.accepted = try AcceptedFormat.choose(accept: http.fields[values: .accept])
        options.accept = self.accepted.contentFormat
        if self.accepted.contentFormat == .ocfCBOR {
            options.ocfAcceptVersion = .v1_0_0
        }
        self.isConditional = try Self.addIfNoneMatch(http.fields, reads: reads, to: &options)
        try Self.addIfMatch(http.fields, to: &options)
        // Accept counts only where the client wrote it: our own default is our own fault.
        self.hasCriticalHeaders =
            options.contains(.ifMatch) || options.contains(.ifNoneMatch) || http.fields.contains(.accept)

        var payload: ByteBuffer?
        if (http.method == .post || http.method == .put), http.body.readableBytes > 0 {
            let converted = try Self.payload(http)
            payload = converted.bytes
            options.contentFormat = converted.format
            if converted.format == .ocfCBOR {
                options.ocfVersion = .v1_0_0
            }
        }
        self.device = http.device
        self.request = CoAP.Request(Self.code(http.method), options: options, payload: payload)
    }

    /// OCF has no PUT: an update is a POST (OCF Core, UPDATE).
    private static func code(_ method: HTTPRequest.Method) -> Code {
        switch method {
        case .get, .head: .get
        case .delete: .delete
        default: .post
        }
    }
}

// MARK: - Preconditions

extension DeviceExchange {
    /// How many entity tags of one header field are sent on. Unspecified: real clients send one or two.
    private static let maximumTags = 16

    /// If-None-Match becomes ETag options on a GET, and its `*` the option of the same name on a write
    /// (RFC 8075 §5.1). True when a 2.03 would answer it.
    private static func addIfNoneMatch(
        _ fields: HTTPFields, reads: Bool, to options: inout Options
    ) throws(Problem) -> Bool {
        let tags = try Self.tags(fields, .ifNoneMatch)
        guard !tags.isEmpty else { return false }
        if reads {
            // Tags we never gave out cannot be good any more, and `*` has no counterpart: both mean a plain GET.
            let known = tags.compactMap { $0.bytes }
            for tag in known { options.append(.eTag, bytes: tag) }
            return !known.isEmpty
        }
        // A precondition on a write is kept or refused, never dropped (RFC 9110 §13.1).
        guard tags == [.any] else {
            throw .header("If-None-Match", "can only be `*` with this method")
        }
        options.append(.ifNoneMatch)
        return false
    }

    /// If-Match: a value a tag, an empty one for `*` (RFC 7252 §5.10.8.1).
    private static func addIfMatch(_ fields: HTTPFields, to options: inout Options) throws(Problem) {
        let tags = try Self.tags(fields, .ifMatch)
        guard !tags.isEmpty else { return }
        // Weak tags never match here (RFC 9110 §13.1.1), nor do tags we never gave out.
        let values = tags.compactMap { tag -> [UInt8]? in tag == .any ? [] : tag.isWeak ? nil : tag.bytes }
        guard !values.isEmpty else { throw Problem(.preconditionFailed, field: "If-Match") }
        for value in values { options.append(.ifMatch, bytes: value) }
    }

    private struct EntityTag: Equatable {
        static let any = EntityTag(bytes: nil, isWeak: false, isAny: true)
        /// The value of the ETag option, nil when no device can have given this tag.
        var bytes: [UInt8]?
        var isWeak: Bool
        var isAny = false
    }

    private static func tags(_ fields: HTTPFields, _ name: HTTPField.Name) throws(Problem) -> [EntityTag] {
        let texts = fields[values: name].flatMap { $0.split(separator: ",") }.map(\.trimmedBlanks)
        guard texts.count <= Self.maximumTags else {
            throw .header(name.rawName, "has more than \(Self.maximumTags) entity tags")
        }
        var result: [EntityTag] = []
        for text in texts where !text.isEmpty {
            if text == "*" {
                result.append(.any)
                continue
            }
            let isWeak = text.hasPrefix("W/")
            let quoted = isWeak ? text.dropFirst(2) : text
            guard quoted.count >= 2, quoted.first == "\"", quoted.last == "\"" else {
                throw .header(name.rawName, "is not a list of quoted entity tags")
            }
            result.append(EntityTag(bytes: Self.eTagBytes(quoted.dropFirst().dropLast()), isWeak: isWeak))
        }
        return result
    }

    /// The 1…8 bytes behind the digits we write an ETag option as.
    private static func eTagBytes(_ digits: Substring) -> [UInt8]? {
        let digits = Array(digits.utf8)
        guard (2...16).contains(digits.count), digits.count.isMultiple(of: 2) else { return nil }
        var bytes: [UInt8] = []
        for index in stride(from: 0, to: digits.count, by: 2) {
            let pair = String(decoding: digits[index...index + 1], as: UTF8.self)
            guard pair.allSatisfy(\.isHexDigit), let byte = UInt8(pair, radix: 16) else { return nil }
            bytes.append(byte)
        }
        return bytes
    }
}

// MARK: - Bodies

extension DeviceExchange {
    /// Content types under which a body is JSON when it can be read as JSON, and bytes of no declared format
    /// otherwise: none at all, and the form type, which is what `curl -d` says whatever it sends.
    private static let undeclared: Set<String> = ["application/x-www-form-urlencoded"]

    /// What the device gets: one valid JSON item becomes OCF's CBOR, everything else passes byte for byte.
    private static func payload(
        _ http: DeviceHTTPRequest
    ) throws(Problem) -> (bytes: ByteBuffer, format: ContentFormat?) {
        let encodings = http.fields[values: .contentEncoding].flatMap { $0.split(separator: ",") }
        guard encodings.allSatisfy({ $0.trimmedBlanks.lowercased() == "identity" }) else {
            throw Problem(.unsupportedMediaType, "The body is content-encoded.", field: "Content-Encoding")
        }
        let types = http.fields[values: .contentType]
        guard types.count <= 1 else { throw .header("Content-Type", "stands there more than once") }
        guard let text = types.first else { return Self.convert(http.body, otherwise: nil) }
        guard let media = MediaType(text) else {
            throw Problem(
                .unsupportedMediaType, "The Content-Type is not of the form type/subtype.", field: "Content-Type")
        }
        if Self.undeclared.contains(media.essence) { return Self.convert(http.body, otherwise: nil) }
        if media.essence == "application/json" { return Self.convert(http.body, otherwise: .json) }
        guard let format = media.contentFormat else {
            throw Problem(
                .unsupportedMediaType, "\(media.essence) has no CoAP Content-Format.", field: "Content-Type")
        }
        return (http.body, format)
    }

    private static func convert(
        _ body: ByteBuffer, otherwise format: ContentFormat?
    ) -> (bytes: ByteBuffer, format: ContentFormat?) {
        Transcoding.cbor(fromJSON: body).map { ($0, .ocfCBOR) } ?? (body, format)
    }
}
