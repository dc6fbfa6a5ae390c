package import CoAP

/// A media type or range as it stands in Content-Type and Accept (RFC 9110 §8.3.1, §12.5.1): lower case, with its
/// parameters.
package struct MediaType: Hashable, Sendable {
    package var type: String
    package var subtype: String
    package var parameters: [String: String]

    /// Nil when `text` is not of the form `type/subtype;name=value`.
    package init?(_ text: some StringProtocol) {
        let pieces = text.split(separator: ";", omittingEmptySubsequences: false).map { $0.trimmedBlanks }
        let names = pieces[0].split(separator: "/", omittingEmptySubsequences: false)
        guard names.count == 2, names.allSatisfy({ $0.isToken }) else { return nil }
        self.type = names[0].lowercased()
        self.subtype = names[1].lowercased()
        self.parameters = [:]
        for piece in pieces.dropFirst() where !piece.isEmpty {
            let pair = piece.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
            guard pair.count == 2, pair[0].isToken else { return nil }
            var value = pair[1]
            if value.count >= 2, value.first == "\"", value.last == "\"" {
                value = value.dropFirst().dropLast()
            }
            self.parameters[pair[0].lowercased()] = String(value)
        }
    }

    package var essence: String { "\(self.type)/\(self.subtype)" }

    /// The Content-Format of exactly this type, or of `application/coap-payload;cf=N` (RFC 8075 §6.2).
    package var exactContentFormat: ContentFormat? {
        if self.essence == "application/coap-payload" {
            return self.parameters["cf"].flatMap { UInt16($0) }.map(ContentFormat.init(rawValue:))
        }
        return Self.numbers[self.essence].map(ContentFormat.init(rawValue:))
    }

    /// The Content-Format of this type, or of the family its suffix names (RFC 8075 §6.3: the loose mapping). Nil for
    /// everything else: calling it octet-stream would tell the device nothing it can use.
    package var contentFormat: ContentFormat? {
        if let exact = self.exactContentFormat { return exact }
        if self.subtype.hasSuffix("+json") { return .json }
        if self.subtype.hasSuffix("+xml") { return .xml }
        if self.subtype.hasSuffix("+cbor") { return .cbor }
        if self.type == "text" { return .text }
        return nil
    }

    /// Media types without parameters by essence. Types that only parameters tell apart (application/cose) are left to
    /// `application/coap-payload`.
    private static let numbers: [String: UInt16] = {
        var result: [String: UInt16] = [:]
        for (number, text) in ContentFormat.mediaTypes {
            if number == 0 {
                result["text/plain"] = 0
            } else if !text.contains(";") {
                result[text] = number
            }
        }
        return result
    }()
}

/// What the client wants the answer of a device to be.
package enum AcceptedFormat: Hashable, Sendable {
    /// OCF's CBOR from the device, JSON for the client.
    case json
    /// This Content-Format, byte for byte.
    case raw(ContentFormat)

    package var contentFormat: ContentFormat {
        switch self {
        case .json: .ocfCBOR
        case .raw(let format): format
        }
    }
}

extension AcceptedFormat {
    /// Chooses among the media ranges of Accept: the highest quality that has a Content-Format wins, of equal ones the
    /// first (RFC 9110 §12.5.1). No Accept at all means JSON.
    ///
    /// - Throws: `notAcceptable` when none of them can be asked for.
    package static func choose(accept: [String]) throws(Problem) -> AcceptedFormat {
        let ranges = accept.flatMap { $0.split(separator: ",") }.filter { !$0.trimmedBlanks.isEmpty }
        guard !ranges.isEmpty else { return .json }
        var best: (quality: Int, format: AcceptedFormat)?
        var refusesJSON = false
        for range in ranges.prefix(Self.maximumRanges) {
            guard let media = MediaType(range) else { continue }
            let quality = Self.quality(media.parameters["q"])
            if quality == 0 {
                refusesJSON = refusesJSON || media.essence == "application/json"
            } else if let format = Self.format(media), quality > best?.quality ?? 0 {
                best = (quality, format)
            }
        }
        guard let best else {
            throw Problem(.notAcceptable, field: "Accept")
        }
        return refusesJSON && best.format == .json ? .raw(.ocfCBOR) : best.format
    }

    private static let maximumRanges = 64

    private static func format(_ media: MediaType) -> AcceptedFormat? {
        switch media.essence {
        case "*/*", "application/*", "application/json": .json
        case "text/*": .raw(.text)
        default: media.exactContentFormat.map(AcceptedFormat.raw)
        }
    }

    /// A quality value in thousandths (RFC 9110 §12.4.2); what cannot be read counts as 1.
    private static func quality(_ text: String?) -> Int {
        guard let text else { return 1000 }
        let parts = text.split(separator: ".", maxSplits: 1, omittingEmptySubsequences: false)
        guard let whole = parts.first.flatMap({ Int($0) }), (0...1).contains(whole) else { return 1000 }
        guard whole == 0, parts.count == 2 else { return whole * 1000 }
        let digits = (parts[1] + "000").prefix(3)
        return Int(digits) ?? 1000
    }
}

extension StringProtocol {
    /// Without blanks and tabs at both ends (RFC 9110 §5.6.3).
    package var trimmedBlanks: SubSequence {
        var result = self[self.startIndex..<self.endIndex]
        while let first = result.first, first == " " || first == "\t" { result = result.dropFirst() }
        while let last = result.last, last == " " || last == "\t" { result = result.dropLast() }
        return result
    }

    /// A token of RFC 9110 §5.6.2: the names of media types, parameters and preferences.
    package var isToken: Bool {
        !self.isEmpty
            && self.utf8.allSatisfy { byte in
                switch byte {
                case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
                    UInt8(ascii: "0")...UInt8(ascii: "9"):
                    true
                default:
                    "!#$%&'*+-.^_`|~".utf8.contains(byte)
                }
            }
    }
}
