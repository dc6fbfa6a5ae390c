package import CBOR
package import CoAP
import NIOCore

/// The device behind the connection: a small real model, from request to response. Does no input or output.
package struct DeviceModel: Sendable {
    package private(set) var resources: [DeviceResource]

    /// What `/myhref` answers, whatever is asked.
    package static let text = "test response payload from device"
    /// How much of a payload is looked into.
    static let limits = DecodingLimits(bytes: 65_536, depth: 16, items: 1024)

    package init(di: String) {
        self.resources = DeviceResource.all(di: di)
    }

    // MARK: - Requests

    package mutating func respond(to request: Request) -> Response {
        if let refusal = Self.refusal(of: request.options) {
            return refusal
        }
        guard let path = request.options.path else {
            return Response(.badRequest, diagnostic: "a Uri-Path is not UTF-8 (RFC 7252 §3.2)")
        }
        guard let index = self.resources.firstIndex(where: { $0.segments == path }) else {
            return Response(.notFound, diagnostic: "this device has no resource /\(path.joined(separator: "/"))")
        }
        if path == DeviceResource.textHref {
            return Self.textResponse
        }
        guard let format = Self.format(for: request.options) else {
            return Response(.notAcceptable, diagnostic: "this device answers in Content-Format 10000 or 60, version 1")
        }
        switch request.method {
        case .get:
            return self.representation(of: index, .content, format, request)
        case .post where self.resources[index].isWritable:
            return self.update(index, format, request)
        default:
            let href = self.resources[index].href
            return Response(.methodNotAllowed, diagnostic: "\(href) does not take \(request.method)")
        }
    }

    private mutating func update(_ index: Int, _ format: ContentFormat, _ request: Request) -> Response {
        switch request.options.contentFormat {
        case nil, .ocfCBOR, .cbor: break
        default:
            return Response(.unsupportedContentFormat, diagnostic: "this device takes Content-Format 10000 or 60")
        }
        if let version = request.options.ocfVersion, version.major != OCFVersion.v1_0_0.major {
            return Response(.unsupportedContentFormat, diagnostic: "this device takes payloads of version 1")
        }
        guard let payload = request.payload else {
            return Response(.badRequest, diagnostic: "a map of properties is missing")
        }
        do throws(CBORError) {
            let item = try DataItem(decoding: payload, limits: Self.limits)
            return self.update(index, with: item, format, request)
        } catch {
            return Response(.badRequest, diagnostic: error.description)
        }
    }

    private mutating func update(
        _ index: Int, with item: DataItem, _ format: ContentFormat, _ request: Request,
    ) -> Response {
        guard let pairs = item.pairs else {
            return Response(.badRequest, diagnostic: "the payload must be a map of properties, not \(item.kind)")
        }
        guard !pairs.isEmpty else {
            return Response(.badRequest, diagnostic: "the map of properties is empty")
        }
        var changes: [(name: String, value: DataItem)] = []
        for pair in pairs {
            guard let name = pair.key.string else {
                return Response(.badRequest, diagnostic: "the name of a property must be a text, not \(pair.key.kind)")
            }
            changes.append((name, pair.value))
        }
        do throws(PropertyError) {
            try self.resources[index].update(changes, locally: false)
        } catch {
            return Response(.badRequest, diagnostic: error.description)
        }
        return self.representation(of: index, .changed, format, request)
    }

    private func representation(
        of index: Int, _ code: Code, _ format: ContentFormat, _ request: Request,
    ) -> Response {
        var options = Options()
        options.contentFormat = format
        // Critical, so only towards peers that showed they know it.
        if request.options.ocfAcceptVersion != nil || request.options.ocfVersion != nil, format == .ocfCBOR {
            options.ocfVersion = .v1_0_0
        }
        let item = self.resources[index].representation(baseline: Self.wantsBaseline(request.options))
        return Response(code, options: options, payload: item.encoded())
    }

    // MARK: - Changes by hand

    /// Changes a resource from the device's side.
    ///
    /// - Returns: what the resource holds now.
    package mutating func set(_ href: String, _ values: [Command.Assignment]) throws(PropertyError) -> DataItem {
        guard let index = self.resources.firstIndex(where: { $0.href == href }) else {
            let names = self.resources.map(\.href).joined(separator: ", ")
            throw PropertyError("there is no resource \(sanitized(href, limit: 100)), only \(names)")
        }
        try self.resources[index].update(values.map { ($0.key, Self.item($0.value)) }, locally: true)
        return self.resources[index].representation()
    }

    /// What a typed value stands for: a boolean, a number, else a text; in quotes always a text.
    private static func item(_ text: String) -> DataItem {
        if text == "true" || text == "false" {
            return .boolean(text == "true")
        }
        if let integer = Int64(text) {
            return DataItem(integer: integer)
        }
        if let number = Double(text), number.isFinite {
            return Property.item(number)
        }
        let isQuoted = text.count >= 2 && text.hasPrefix("\"") && text.hasSuffix("\"")
        return .text(isQuoted ? String(text.dropFirst().dropLast()) : text)
    }
}

// MARK: - Options

extension DeviceModel {
    /// 2.03 with Content-Format 10000 and 33 bytes of plain text, byte for byte what the older mock device answered.
    private static let textResponse: Response = {
        var options = Options()
        options.contentFormat = .ocfCBOR
        return Response(.valid, options: options, payload: ByteBuffer(string: Self.text))
    }()

    /// Critical options this device acts on, or may ignore because they only name it (RFC 7252 §5.10.1).
    private static let understood: Set<OptionNumber> = [
        .uriHost, .uriPort, .uriPath, .uriQuery, .accept, .ocfAcceptContentFormatVersion, .ocfContentFormatVersion,
    ]

    /// The refusal of a request that holds an option this device would have to act on (RFC 7252 §5.4.1), such as
    /// If-Match; what no device takes, the connection has refused already.
    static func refusal(of options: Options) -> Response? {
        for option in options where option.number.isCritical {
            guard Self.understood.contains(option.number) else {
                return Response(.badOption, diagnostic: "option \(option.number) is not supported here")
            }
        }
        return nil
    }

    /// The format of the answer; nil if the one asked for is not ours.
    static func format(for options: Options) -> ContentFormat? {
        if let version = options.ocfAcceptVersion, version.major != OCFVersion.v1_0_0.major {
            return nil
        }
        guard options.contains(.accept) else { return .ocfCBOR }
        guard let accept = options.accept, accept == .ocfCBOR || accept == .cbor else { return nil }
        return accept
    }

    /// An unknown interface is the default one. Some stacks put several queries into one option.
    private static func wantsBaseline(_ options: Options) -> Bool {
        (options.queries ?? [])
            .flatMap { $0.split { $0 == "&" || $0 == ";" } }
            .contains("if=oic.if.baseline")
    }
}
