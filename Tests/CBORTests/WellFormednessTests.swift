import CBOR
import NIOCore
import Testing

struct WellFormednessTests {
    @Test(
        "RFC 8949 §3: what is not well-formed is refused, with its place and its clause",
        arguments: [
            ("", CBORError(.empty, at: 0)),
            ("1c", CBORError(.reservedAdditionalInformation(28), at: 0)),
            ("1d", CBORError(.reservedAdditionalInformation(29), at: 0)),
            ("1e", CBORError(.reservedAdditionalInformation(30), at: 0)),
            ("1f", CBORError(.reservedAdditionalInformation(31), at: 0)),
            ("3f", CBORError(.reservedAdditionalInformation(31), at: 0)),
            ("5c", CBORError(.reservedAdditionalInformation(28), at: 0)),
            ("7d", CBORError(.reservedAdditionalInformation(29), at: 0)),
            ("9e", CBORError(.reservedAdditionalInformation(30), at: 0)),
            ("bc", CBORError(.reservedAdditionalInformation(28), at: 0)),
            ("df00", CBORError(.reservedAdditionalInformation(31), at: 0)),
            ("fc", CBORError(.reservedAdditionalInformation(28), at: 0)),
            ("81fd", CBORError(.reservedAdditionalInformation(29), at: 1)),
            ("f800", CBORError(.reservedSimpleValue(0), at: 0)),
            ("f818", CBORError(.reservedSimpleValue(24), at: 0)),
            ("f81f", CBORError(.reservedSimpleValue(31), at: 0)),
            ("ff", CBORError(.unexpectedBreak, at: 0)),
            ("81ff", CBORError(.unexpectedBreak, at: 1)),
            ("8200ff", CBORError(.unexpectedBreak, at: 2)),
            ("a1ff", CBORError(.lengthPastEnd(declared: 1, remaining: 1), at: 0)),
            ("a1ff00", CBORError(.unexpectedBreak, at: 1)),
            ("a100ff", CBORError(.unexpectedBreak, at: 2)),
            ("c1ff", CBORError(.unexpectedBreak, at: 1)),
            ("9fc1ff", CBORError(.unexpectedBreak, at: 2)),
            ("bf00ff", CBORError(.keyWithoutValue, at: 2)),
            ("bf000000ff", CBORError(.keyWithoutValue, at: 4)),
            ("5f00ff", CBORError(.wrongChunk, at: 1)),
            ("5f6161ff", CBORError(.wrongChunk, at: 1)),
            ("7f4161ff", CBORError(.wrongChunk, at: 1)),
            ("5f5f4100ffff", CBORError(.wrongChunk, at: 1)),
            ("5fc14100ff", CBORError(.wrongChunk, at: 1)),
            ("61ff", CBORError(.invalidUTF8, at: 0)),
            ("62c080", CBORError(.invalidUTF8, at: 0)),
            ("63eda080", CBORError(.invalidUTF8, at: 0)),
            ("64f4908080", CBORError(.invalidUTF8, at: 0)),
            // A character split between two chunks (RFC 8949 §3.2.3).
            ("7f61c361bcff", CBORError(.invalidUTF8, at: 1)),
            ("18", CBORError(.truncated, at: 0)),
            ("1900", CBORError(.truncated, at: 0)),
            ("c1", CBORError(.truncated, at: 1)),
            ("0000", CBORError(.trailingBytes(count: 1), at: 1)),
        ])
    func refused(_ input: String, _ error: CBORError) {
        #expect(throws: error) { try DataItem(decoding: buffer(input)) }
        #expect(error.description.contains("byte \(error.offset)"))
        #expect(error.description.contains("RFC 8949 §"))
    }

    @Test("RFC 8949 §3: arguments wider than needed are taken and count as the same value")
    func wideArguments() throws {
        for input in ["1805", "190005", "1a00000005", "1b0000000000000005"] {
            #expect(try DataItem(decoding: buffer(input)) == 5)
        }
        #expect(try DataItem(decoding: buffer("9b0000000000000001 05")) == [5])
        #expect(try DataItem(decoding: buffer("7a00000001 61")) == "a")
    }

    @Test("RFC 8949 §3.1: integers fit 64 bits signed or have no `integer`")
    func integers() {
        #expect(DataItem.unsigned(UInt64(Int64.max)).integer == .max)
        #expect(DataItem.unsigned(UInt64(Int64.max) + 1).integer == nil)
        #expect(DataItem.negative(UInt64(Int64.max)).integer == .min)
        #expect(DataItem.negative(UInt64(Int64.max) + 1).integer == nil)
        for value in [Int64.min, -1, 0, 1, .max] {
            #expect(DataItem(integer: value).integer == value)
        }
        #expect(DataItem.float(1).integer == nil)
    }

    @Test("A map is read by its text keys, and keeps its order")
    func access() throws {
        let item = try DataItem(decoding: buffer("bf626469613162616cf5ff"))
        #expect(item["di"]?.string == "1")
        #expect(item["al"]?.flag == true)
        #expect(item["x"] == nil)
        #expect(DataItem.array([])["di"] == nil)
        #expect(item == .map(["di": "1", "al": true]))
        #expect(item != .map(["al": true, "di": "1"]))
    }

    @Test("A description shows kind and size, never the content")
    func description() {
        let item: DataItem = ["accesstoken": "very-secret"]
        var dumped = ""
        dump(item, to: &dumped)
        for text in ["\(item)", String(reflecting: item), dumped, "\(DataItem.text("very-secret"))"] {
            #expect(!text.contains("secret"))
        }
    }

    @Test("A slice in the middle of a buffer is read from its own start")
    func slice() throws {
        var whole = buffer("ffff 8101 ff")
        whole.moveReaderIndex(forwardBy: 2)
        let slice = whole.readSlice(length: 2)
        #expect(try slice.map { try DataItem(decoding: $0) } == [1])
        whole = buffer("ffff 81ff")
        whole.moveReaderIndex(forwardBy: 2)
        #expect(throws: CBORError(.unexpectedBreak, at: 1)) { try DataItem(decoding: whole) }
    }
}
