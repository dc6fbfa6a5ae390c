import Testing

@testable import Cloud

@Suite("The one id rule")
struct IdentifierTests {
    @Test(
        "What has 1 to 128 bytes and nothing forbidden is an id",
        arguments: [
            "1", "OCF-cloud-device-test-uuid", "someone@example.com", "gerät", "灯", "a.b", "...", "-x", "a=b&c",
            "o'brien\"", "Devices", "oic2", String(repeating: "x", count: 128), String(repeating: "é", count: 64),
        ])
    func accepted(_ text: String) throws {
        #expect(try DeviceID(text).text == text)
        #expect(try UserID(text).text == text)
    }

    @Test(
        "BI-33: an id that breaks the rule is refused with the rule it breaks",
        arguments: [
            ("", .empty),
            (String(repeating: "x", count: 129), .tooLong(bytes: 129)),
            (String(repeating: "é", count: 65), .tooLong(bytes: 130)),
            ("a/b", .forbiddenCharacter("/")),
            ("a?b", .forbiddenCharacter("?")),
            ("a#b", .forbiddenCharacter("#")),
            ("a+b", .forbiddenCharacter("+")),
            ("$SYS", .forbiddenCharacter("$")),
            ("a%2fb", .forbiddenCharacter("%")),
            ("a b", .blank),
            ("a\u{A0}b", .blank),
            ("a\u{3000}b", .blank),
            ("a\u{0}b", .controlCharacter(0)),
            ("a\r\nb", .controlCharacter(0x0D)),
            ("a\tb", .controlCharacter(0x09)),
            ("a\u{7F}", .controlCharacter(0x7F)),
            ("a\u{85}", .controlCharacter(0x85)),
            ("a\u{202E}b", .controlCharacter(0x202E)),
            ("\u{FEFF}a", .controlCharacter(0xFEFF)),
            ("a\u{2028}", .controlCharacter(0x2028)),
            (".", .dots),
            ("..", .dots),
            ("oic", .reserved("oic")),
            ("devices", .reserved("devices")),
            ("openapi.yaml", .reserved("openapi.yaml")),
            (".well-known", .reserved(".well-known")),
        ] as [(String, IdentifierError)])
    func refused(_ text: String, _ expected: IdentifierError) {
        #expect(throws: expected) { try DeviceID(text) }
        #expect(throws: expected) { try UserID(text) }
    }

    @Test("Every reserved segment is refused as an id", arguments: ReservedSegments.all.sorted())
    func reserved(_ word: String) {
        #expect(throws: IdentifierError.reserved(word)) { try DeviceID(word) }
    }

    @Test("BI-33: UUIDs are compared without case, everything else exactly")
    func cases() throws {
        let upper = "F0A1B2C3-D4E5-4678-9ABC-DEF012345678"
        #expect(try DeviceID(upper).text == upper.lowercased())
        #expect(try DeviceID(upper) == DeviceID(upper.lowercased()))
        #expect(try UserID(upper) == UserID(upper.lowercased()))
        #expect(try DeviceID("Lamp") != DeviceID("lamp"))
        // One digit short, a digit that is none, and a dash elsewhere: not UUIDs, so kept as they are.
        for text in [
            "F0A1B2C3-D4E5-4678-9ABC-DEF01234567", "G0A1B2C3-D4E5-4678-9ABC-DEF012345678",
            "F0A1B2C3D-4E5-4678-9ABC-DEF012345678",
        ] {
            #expect(try DeviceID(text).text == text)
        }
    }

    @Test("Ids are compared byte by byte, as stores do, not by canonical equivalence")
    func exact() throws {
        let composed = try DeviceID("caf\u{E9}")
        let decomposed = try DeviceID("cafe\u{301}")
        #expect(composed != decomposed)
        #expect(Set([composed, decomposed]).count == 2)
        #expect(decomposed < composed)
        #expect(try DeviceID("Z") < DeviceID("a"))
    }

    @Test("The error of a field names the field and the rule")
    func field() {
        let error = #expect(throws: CloudError.self) { try DeviceID("a/b", field: "di") }
        #expect(error?.code == .badRequest)
        #expect(error?.field == "di")
        #expect(error?.message == "di has '/': none of / ? # + $ % is allowed")
    }
}
