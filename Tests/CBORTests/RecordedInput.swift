import Testing

#if canImport(FoundationEssentials)
    import FoundationEssentials
#else
    import Foundation
#endif

/// One input of the folder `Inputs`: hexadecimal digits, in a file whose name begins with what must come of it.
struct RecordedInput: Sendable, CustomTestStringConvertible {
    let name: String
    let bytes: [UInt8]

    var isAccepted: Bool { self.name.hasPrefix("accept-") }
    var testDescription: String { self.name }

    static let all: [RecordedInput] = {
        var parts = #filePath.split(separator: "/").dropLast()
        parts.append("Inputs")
        let folder = "/" + parts.joined(separator: "/")
        let names = (try? FileManager.default.contentsOfDirectory(atPath: folder)) ?? []
        let inputs = names.sorted().compactMap { name -> RecordedInput? in
            guard name.hasSuffix(".hex"), let data = FileManager.default.contents(atPath: folder + "/" + name) else {
                return nil
            }
            return RecordedInput(name: name, bytes: CBORTests.bytes(String(decoding: data, as: UTF8.self)))
        }
        precondition(!inputs.isEmpty, "no inputs in \(folder)")
        return inputs
    }()
}
