import Cloud

/// An href of a device as the device is asked for it: Uri-Path and Uri-Query (RFC 7252 §6.4).
struct DeviceHref: Hashable, Sendable {
    var path: [String]
    var queries: [String]

    /// The reference stack writes `ocf://{di}/light`, others `/light`.
    ///
    /// Nil for what is not of this device, or relative to we do not know what.
    init?(_ href: String, di: DeviceID) {
        var rest = href[...]
        if rest.hasPrefix("ocf://") {
            rest = rest.dropFirst("ocf://".count)
            guard let slash = rest.firstIndex(of: "/"), (try? DeviceID(String(rest[..<slash]))) == di else {
                return nil
            }
            rest = rest[slash...]
        }
        guard rest.hasPrefix("/"), !rest.hasPrefix("//") else { return nil }
        let parts = rest.prefix { $0 != "#" }.split(separator: "?", maxSplits: 1, omittingEmptySubsequences: false)
        self.path = parts[0].dropFirst().split(separator: "/", omittingEmptySubsequences: false).map(Self.decoded)
        self.queries = parts.count > 1 ? parts[1].split(separator: "&").map(Self.decoded) : []
    }

    /// With `%41` as `A`; as it stands where that gives no text.
    private static func decoded(_ text: Substring) -> String {
        var bytes: [UInt8] = []
        var rest = text.utf8[...]
        while let byte = rest.popFirst() {
            if byte == UInt8(ascii: "%"), let value = UInt8(String(rest.prefix(2)) ?? "", radix: 16),
                rest.count >= 2, rest.first != UInt8(ascii: "+")
            {
                bytes.append(value)
                rest = rest.dropFirst(2)
            } else {
                bytes.append(byte)
            }
        }
        return String(validating: bytes, as: UTF8.self) ?? String(text)
    }
}
