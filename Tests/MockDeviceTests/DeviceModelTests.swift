import CBOR
import CoAP
import MockDevice
import NIOCore
import Testing

@Suite("The device's resources")
struct DeviceModelTests {
    /// A request as an OCF cloud sends it.
    private func request(
        _ method: Code, _ path: [String], _ item: DataItem? = nil, queries: [String] = [],
        _ change: (inout Options) -> Void = { _ in },
    ) -> Request {
        var request = Request(method, path: path, queries: queries, payload: item?.encoded())
        request.options.accept = .ocfCBOR
        request.options.ocfAcceptVersion = .v1_0_0
        if item != nil {
            request.options.contentFormat = .ocfCBOR
            request.options.ocfVersion = .v1_0_0
        }
        change(&request.options)
        return request
    }

    private func item(_ response: Response) throws -> DataItem {
        try DataItem(decoding: #require(response.payload))
    }

    private func answer(_ request: Request) -> Response {
        var model = DeviceModel(di: "d-1")
        return model.respond(to: request)
    }

    private static let contents: [([String], DataItem)] = [
        (["light"], ["value": false, "brightness": 50]),
        (["thermostat"], ["temperature": 20.5, "targetTemperature": 21, "units": "C", "range": [-40, 60]]),
        (["oic", "d"], ["n": "Mock device", "di": "d-1", "icv": "ocf.2.2.5", "dmv": "ocf.res.1.3.0", "piid": "d-1"]),
        (["oic", "p"], ["pi": "d-1", "mnmn": "coap-gateway", "mnmo": "mock-device"]),
    ]

    @Test("GET tells what a resource holds", arguments: Self.contents)
    func get(path: [String], expected: DataItem) throws {
        let response = self.answer(self.request(.get, path))
        #expect(response.code == .content)
        #expect(response.options.contentFormat == .ocfCBOR)
        #expect(response.options.ocfVersion == .v1_0_0)
        #expect(try self.item(response) == expected)
    }

    @Test(
        "OCF Core: oic.if.baseline adds rt and if, also where queries share an option",
        arguments: [["if=oic.if.baseline"], ["a=1&if=oic.if.baseline"], ["a=1;if=oic.if.baseline"]])
    func baseline(queries: [String]) throws {
        let item = try self.item(self.answer(self.request(.get, ["light"], queries: queries)))
        #expect(
            item == [
                "value": false, "brightness": 50, "rt": ["oic.r.switch.binary", "oic.r.light.brightness"],
                "if": ["oic.if.a", "oic.if.baseline"],
            ])
    }

    @Test("an unknown interface is the default one")
    func unknownInterface() throws {
        let item = try self.item(self.answer(self.request(.get, ["light"], queries: ["if=oic.if.x"])))
        #expect(item == ["value": false, "brightness": 50])
    }

    private static let changes: [([String], DataItem, DataItem)] = [
        (["light"], ["value": true], ["value": true, "brightness": 50]),
        (["light"], ["brightness": 0], ["value": false, "brightness": 0]),
        (["light"], ["brightness": 100.0, "value": true], ["value": true, "brightness": 100]),
        (
            ["thermostat"], ["targetTemperature": 18.5],
            ["temperature": 20.5, "targetTemperature": 18.5, "units": "C", "range": [-40, 60]]
        ),
        (
            ["thermostat"], ["targetTemperature": -40],
            ["temperature": 20.5, "targetTemperature": -40, "units": "C", "range": [-40, 60]]
        ),
    ]

    @Test("POST changes what is valid and answers 2.04 with the new state", arguments: Self.changes)
    func post(path: [String], change: DataItem, expected: DataItem) throws {
        var model = DeviceModel(di: "d-1")
        let response = model.respond(to: self.request(.post, path, change))
        #expect(response.code == .changed)
        #expect(try self.item(response) == expected)
        #expect(try self.item(model.respond(to: self.request(.get, path))) == expected)
    }

    private static let refused: [([String], DataItem, String)] = [
        (["light"], ["value": 1], "value must be true or false, not 1"),
        (["light"], ["value": "true"], "value must be true or false, not a text"),
        (["light"], ["brightness": 101], "brightness must be an integer from 0 to 100, not 101"),
        (["light"], ["brightness": -1], "brightness must be an integer from 0 to 100, not -1"),
        (["light"], ["brightness": 0.5], "brightness must be an integer from 0 to 100, not 0.5"),
        (
            ["light"], ["brightness": .unsigned(.max)],
            "brightness must be an integer from 0 to 100, not a larger integer"
        ),
        (["light"], ["brightness": .float(.nan)], "brightness must be an integer from 0 to 100, not nan"),
        (["light"], ["brightness": .null], "brightness must be an integer from 0 to 100, not null"),
        (["light"], ["color": "red"], "/light has no property \"color\", only value, brightness"),
        (["thermostat"], ["targetTemperature": 60.5], "targetTemperature must be a number from -40 to 60, not 60.5"),
        (["thermostat"], ["temperature": 20], "temperature of /thermostat is read-only"),
        (["thermostat"], ["units": "F"], "units of /thermostat is read-only"),
        (["light"], [:], "the map of properties is empty"),
        (["light"], [true], "the payload must be a map of properties, not an array"),
        (["light"], [1: true], "the name of a property must be a text, not an integer"),
    ]

    @Test(
        "BI-30: POST refuses wrong types, values out of range, unknown and read-only properties, and says which",
        arguments: Self.refused)
    func refusedPost(path: [String], change: DataItem, diagnostic: String) {
        let response = self.answer(self.request(.post, path, change))
        #expect(response.code == .badRequest)
        #expect(response.diagnostic == diagnostic)
        #expect(response.options.contentFormat == nil)
    }

    @Test("a POST with one bad value changes nothing")
    func atomic() throws {
        var model = DeviceModel(di: "d-1")
        let change = self.request(.post, ["light"], ["value": true, "brightness": 101])
        #expect(model.respond(to: change).code == .badRequest)
        #expect(try self.item(model.respond(to: self.request(.get, ["light"]))) == ["value": false, "brightness": 50])
    }

    @Test("BI-28, BI-29: a payload that is no CBOR map is 4.00")
    func noMap() {
        let payloads: [[UInt8]] = [
            [], [0xBF], [0xBF, 0x61, 0x61], [0xBA, 0xFF, 0xFF, 0xFF, 0xFF],
            [0xA2, 0x61, 0x61, 0xF5, 0x61, 0x61, 0xF5], Array(repeating: 0x81, count: 10_000), [0xA0, 0x00],
        ]
        for payload in payloads {
            var request = self.request(.post, ["light"])
            request.payload = payload.isEmpty ? nil : ByteBuffer(bytes: payload)
            let response = self.answer(request)
            #expect(response.code == .badRequest)
            #expect(response.diagnostic?.isEmpty == false)
        }
    }

    @Test("an indefinite-length map is taken")
    func indefinite() {
        var request = self.request(.post, ["light"])
        request.payload = ByteBuffer(bytes: [0xBF, 0x65] + Array("value".utf8) + [0xF5, 0xFF])
        #expect(self.answer(request).code == .changed)
    }

    @Test(
        "other methods are 4.05",
        arguments: [Code.put, .delete, .fetch, .patch, .iPatch, Code(0, 31)])
    func methods(method: Code) {
        for path in [["light"], ["thermostat"], ["oic", "d"], ["oic", "p"]] {
            #expect(self.answer(self.request(method, path, ["value": true])).code == .methodNotAllowed)
        }
    }

    @Test("what nobody can change refuses POST with 4.05", arguments: [["oic", "d"], ["oic", "p"]])
    func readOnly(path: [String]) {
        #expect(self.answer(self.request(.post, path, ["n": "x"])).code == .methodNotAllowed)
    }

    @Test(
        "an unknown path is 4.04, and segments are not mixed up",
        arguments: [[], ["nosuch"], ["Light"], ["light", ""], ["oic/d"], ["", "light"], ["oic", "d", "x"]])
    func unknown(path: [String]) {
        #expect(self.answer(self.request(.get, path)).code == .notFound)
    }

    @Test("BI-23: an Accept or a version that cannot be had is 4.06")
    func notAcceptable() {
        for format in [ContentFormat.json, .text, .xml, ContentFormat(rawValue: 65000)] {
            #expect(self.answer(self.request(.get, ["light"]) { $0.accept = format }).code == .notAcceptable)
        }
        let version2 = self.request(.get, ["light"]) { $0.ocfAcceptVersion = OCFVersion(rawValue: 4096) }
        #expect(self.answer(version2).code == .notAcceptable)
    }

    @Test("BI-23: a payload of another format or version is 4.15")
    func unsupported() {
        let json = self.request(.post, ["light"], ["value": true]) { $0.contentFormat = .json }
        #expect(self.answer(json).code == .unsupportedContentFormat)
        let version2 = self.request(.post, ["light"], ["value": true]) { $0.ocfVersion = OCFVersion(rawValue: 4096) }
        #expect(self.answer(version2).code == .unsupportedContentFormat)
    }

    @Test("without Accept the answer is 10000, with 60 it is 60")
    func formats() {
        let plain = self.answer(Request(.get, path: ["light"]))
        #expect(plain.options.contentFormat == .ocfCBOR)
        let cbor = self.answer(self.request(.get, ["light"]) { $0.accept = .cbor })
        #expect(cbor.options.contentFormat == .cbor)
        #expect(cbor.options.ocfVersion == nil)
    }

    @Test("C-67: 2053 goes only to peers whose request carried 2049 or 2053")
    func version() {
        #expect(self.answer(Request(.get, path: ["light"])).options.ocfVersion == nil)
        var request = Request(.get, path: ["light"])
        request.options.ocfAcceptVersion = .v1_1_0
        #expect(self.answer(request).options.ocfVersion == .v1_0_0)
        request.options.ocfAcceptVersion = nil
        request.options.ocfVersion = .v1_0_0
        #expect(self.answer(request).options.ocfVersion == .v1_0_0)
    }

    @Test("RFC 7252 §5.4.1: a critical option this device does not act on is 4.02", arguments: [1, 5, 65_001])
    func critical(number: UInt16) {
        let request = self.request(.get, ["light"]) { $0.append(OptionNumber(rawValue: number)) }
        #expect(self.answer(request).code == .badOption)
    }

    @Test(
        "/myhref answers every request with 2.03, Content-Format 10000 and its 33 bytes",
        arguments: [Code.get, .post, .put, .delete])
    func text(method: Code) {
        let payloads: [[UInt8]?] = [nil, [0xFF, 0xFF], Array("a=b".utf8), Array(repeating: 0x81, count: 10_000)]
        for payload in payloads {
            var request = self.request(method, ["myhref"], queries: ["x=y"]) { $0.accept = .json }
            request.payload = payload.map { ByteBuffer(bytes: $0) }
            let response = self.answer(request)
            #expect(response.code == .valid)
            var options = Options()
            options.contentFormat = .ocfCBOR
            #expect(response.options == options)
            #expect(response.payload == ByteBuffer(string: "test response payload from device"))
            #expect(response.payload?.readableBytes == 33)
        }
    }

    // MARK: - By hand

    @Test("set changes what a person could, sensors included")
    func set() throws {
        var model = DeviceModel(di: "d-1")
        #expect(
            try model.set("/light", [.init(key: "value", value: "true"), .init(key: "brightness", value: "7")])
                == ["value": true, "brightness": 7])
        let thermostat = try model.set("/thermostat", [.init(key: "temperature", value: "-3.5")])
        #expect(thermostat["temperature"] == -3.5)
    }

    @Test(
        "set refuses what makes no sense",
        arguments: [
            ("/nosuch", "a", "1"), ("/light", "nosuch", "1"), ("/light", "value", "\"true\""), ("/light", "value", ""),
            ("/light", "brightness", "1e999"), ("/thermostat", "units", "F"), ("/myhref", "a", "b"),
        ])
    func refusedSet(href: String, key: String, value: String) {
        var model = DeviceModel(di: "d-1")
        #expect(throws: PropertyError.self) { try model.set(href, [.init(key: key, value: value)]) }
    }

    @Test("every resource has a link with href, rt, if and a policy")
    func links() {
        for resource in DeviceModel(di: "d-1").resources {
            #expect(resource.link["href"]?.string == resource.href)
            #expect(resource.link["rt"]?.elements?.isEmpty == false)
            #expect(resource.link["if"]?.elements?.isEmpty == false)
            #expect(resource.link["p"] == ["bm": 1])
        }
        #expect(
            DeviceModel(di: "d-1").resources.map(\.href)
                == ["/oic/d", "/oic/p", "/light", "/thermostat", "/myhref"])
    }
}
