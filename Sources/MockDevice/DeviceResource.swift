package import CBOR

/// A resource of the device.
package struct DeviceResource: Sendable, Hashable {
    /// The path, `/light`.
    package let href: String
    /// The path as it stands in Uri-Path options.
    let segments: [String]
    package let types: [String]
    package let interfaces: [String]
    /// Empty for a resource that answers with plain bytes.
    package internal(set) var properties: [Property]

    init(_ segments: [String], types: [String], interfaces: [String], _ properties: [Property]) {
        self.segments = segments
        self.href = "/" + segments.joined(separator: "/")
        self.types = types
        self.interfaces = interfaces
        self.properties = properties
    }

    /// What a GET returns; with `rt` and `if` for the baseline interface (OCF Core).
    package func representation(baseline: Bool = false) -> DataItem {
        var pairs = self.properties.map { DataItem.Pair(.text($0.name), $0.value) }
        if baseline {
            pairs.append(.init("rt", .array(self.types.map(DataItem.text))))
            pairs.append(.init("if", .array(self.interfaces.map(DataItem.text))))
        }
        return .map(pairs)
    }

    /// The link as it is published. Only discoverable: nobody is notified of changes.
    package var link: DataItem {
        .map([
            "href": .text(self.href),
            "rt": .array(self.types.map(DataItem.text)),
            "if": .array(self.interfaces.map(DataItem.text)),
            "p": .map(["bm": 1]),
        ])
    }

    var isWritable: Bool { self.properties.contains { $0.access == .remote } }

    /// Changes several properties, or none if one of them does not take its value.
    ///
    /// - Parameter locally: true for the device itself, which may also set what it measures.
    mutating func update(_ changes: [(name: String, value: DataItem)], locally: Bool) throws(PropertyError) {
        var changed = self.properties
        for (name, value) in changes {
            guard let index = changed.firstIndex(where: { $0.name == name }) else {
                let names = self.properties.map(\.name).joined(separator: ", ")
                throw PropertyError("\(self.href) has no property \"\(name)\", only \(names)")
            }
            switch changed[index].access {
            case .remote: break
            case .local where locally: break
            case .local, .fixed: throw PropertyError("\(name) of \(self.href) is read-only")
            }
            try changed[index].set(value)
        }
        self.properties = changed
    }
}

extension DeviceResource {
    /// The resource every request gets the same text from.
    static let textHref = ["myhref"]

    /// What the device has: a light, a thermostat, what every OCF device has, and `/myhref`.
    static func all(di: String) -> [DeviceResource] {
        [
            DeviceResource(
                ["oic", "d"], types: ["oic.wk.d"], interfaces: ["oic.if.r", "oic.if.baseline"],
                [
                    Property("n", "Mock device"),
                    Property("di", .text(di)),
                    Property("icv", "ocf.2.2.5"),
                    Property("dmv", "ocf.res.1.3.0"),
                    Property("piid", .text(di)),
                ]
            ),
            DeviceResource(
                ["oic", "p"], types: ["oic.wk.p"], interfaces: ["oic.if.r", "oic.if.baseline"],
                [
                    Property("pi", .text(di)),
                    Property("mnmn", "coap-gateway"),
                    Property("mnmo", "mock-device"),
                ]
            ),
            DeviceResource(
                ["light"],
                types: ["oic.r.switch.binary", "oic.r.light.brightness"],
                interfaces: ["oic.if.a", "oic.if.baseline"],
                [
                    Property("value", false, .boolean, .remote),
                    Property("brightness", 50, .integer(0...100), .remote),
                ]
            ),
            DeviceResource(
                ["thermostat"], types: ["oic.r.temperature"], interfaces: ["oic.if.a", "oic.if.baseline"],
                [
                    Property("temperature", 20.5, .number(-40...60), .local),
                    Property("targetTemperature", 21, .number(-40...60), .remote),
                    Property("units", "C"),
                    Property("range", [-40, 60]),
                ]
            ),
            DeviceResource(
                Self.textHref, types: ["x.coap-gateway.text"], interfaces: ["oic.if.r", "oic.if.baseline"], []
            ),
        ]
    }
}
