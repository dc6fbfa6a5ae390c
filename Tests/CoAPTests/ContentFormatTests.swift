import CoAP
import Testing

struct ContentFormatTests {
    @Test(
        "RFC 7252 §12.3: numbers and media types are those of the registry",
        arguments: [
            (.text, 0, "text/plain;charset=utf-8"), (.linkFormat, 40, "application/link-format"),
            (.xml, 41, "application/xml"), (.octetStream, 42, "application/octet-stream"),
            (.exi, 47, "application/exi"), (.json, 50, "application/json"),
            (.jsonPatch, 51, "application/json-patch+json"), (.mergePatch, 52, "application/merge-patch+json"),
            (.cbor, 60, "application/cbor"), (.ocfCBOR, 10000, "application/vnd.ocf+cbor"),
        ] as [(ContentFormat, UInt16, String)])
    func mediaType(format: ContentFormat, number: UInt16, mediaType: String) {
        #expect(format.rawValue == number)
        #expect(format.mediaType == mediaType)
    }

    @Test("An unknown number has no media type")
    func unknown() {
        #expect(ContentFormat(rawValue: 65000).mediaType == nil)
    }

    @Test("No two numbers share a media type, so that the way back is unique")
    func unique() {
        #expect(Set(ContentFormat.mediaTypes.values).count == ContentFormat.mediaTypes.count)
    }

    @Test(
        "OCF Core §12.2.5: a version is five bits major, five minor, six sub",
        arguments: [(0x0800, 1, 0), (0x0840, 1, 1), (0x1000, 2, 0), (0xFFFF, 31, 31)] as [(UInt16, Int, Int)])
    func version(rawValue: UInt16, major: Int, minor: Int) {
        #expect(OCFVersion(rawValue: rawValue).major == major)
        #expect(OCFVersion(rawValue: rawValue).minor == minor)
    }
}
