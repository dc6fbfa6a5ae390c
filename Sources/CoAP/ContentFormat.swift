/// A CoAP Content-Format number (RFC 7252 §12.3).
package struct ContentFormat: RawRepresentable, Hashable, Sendable {
    package let rawValue: UInt16

    package init(rawValue: UInt16) {
        self.rawValue = rawValue
    }

    package static let text = ContentFormat(rawValue: 0)
    package static let linkFormat = ContentFormat(rawValue: 40)
    package static let xml = ContentFormat(rawValue: 41)
    package static let octetStream = ContentFormat(rawValue: 42)
    package static let exi = ContentFormat(rawValue: 47)
    package static let json = ContentFormat(rawValue: 50)
    package static let jsonPatch = ContentFormat(rawValue: 51)
    package static let mergePatch = ContentFormat(rawValue: 52)
    package static let cbor = ContentFormat(rawValue: 60)
    /// `application/vnd.ocf+cbor`, what OCF peers speak.
    package static let ocfCBOR = ContentFormat(rawValue: 10000)

    /// The registered media types by number. Parameters are part of the type where the registry has them.
    package static let mediaTypes: [UInt16: String] = [
        0: "text/plain;charset=utf-8",
        16: "application/cose;cose-type=\"cose-encrypt0\"",
        17: "application/cose;cose-type=\"cose-mac0\"",
        18: "application/cose;cose-type=\"cose-sign1\"",
        19: "application/ace+cbor",
        21: "image/gif", 22: "image/jpeg", 23: "image/png",
        40: "application/link-format", 41: "application/xml", 42: "application/octet-stream",
        47: "application/exi", 50: "application/json", 51: "application/json-patch+json",
        52: "application/merge-patch+json", 60: "application/cbor", 61: "application/cwt",
        62: "application/multipart-core", 63: "application/cbor-seq",
        64: "application/edhoc+cbor-seq", 65: "application/cid-edhoc+cbor-seq",
        96: "application/cose;cose-type=\"cose-encrypt\"",
        97: "application/cose;cose-type=\"cose-mac\"",
        98: "application/cose;cose-type=\"cose-sign\"",
        101: "application/cose-key", 102: "application/cose-key-set",
        110: "application/senml+json", 111: "application/sensml+json",
        112: "application/senml+cbor", 113: "application/sensml+cbor",
        114: "application/senml-exi", 115: "application/sensml-exi",
        256: "application/coap-group+json", 271: "application/dots+cbor",
        272: "application/missing-blocks+cbor-seq",
        310: "application/senml+xml", 311: "application/sensml+xml", 432: "application/td+json",
        10000: "application/vnd.ocf+cbor", 10001: "application/oscore",
        11542: "application/vnd.oma.lwm2m+tlv", 11543: "application/vnd.oma.lwm2m+json",
        11544: "application/vnd.oma.lwm2m+cbor",
        20000: "text/css", 30000: "image/svg+xml",
    ]

    /// The media type, nil if the number is not one we know.
    package var mediaType: String? { Self.mediaTypes[self.rawValue] }
}

/// The version of an OCF payload, options 2049 and 2053: five bits major, five minor, six sub.
package struct OCFVersion: RawRepresentable, Hashable, Sendable {
    package let rawValue: UInt16

    package init(rawValue: UInt16) {
        self.rawValue = rawValue
    }

    package var major: Int { Int(self.rawValue >> 11) }
    package var minor: Int { Int(self.rawValue >> 6 & 0b1_1111) }

    package static let v1_0_0 = OCFVersion(rawValue: 2048)
    package static let v1_1_0 = OCFVersion(rawValue: 2112)
}
