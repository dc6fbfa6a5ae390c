import CoAP
import Testing

#if canImport(FoundationEssentials)
    import FoundationEssentials
#else
    import Foundation
#endif

/// One input of the folder `Inputs`: hexadecimal digits, in a file whose name begins with what must come of it:
/// `accept-`, `more-` (the frame is not whole) or `refuse-`.
struct RecordedInput: Sendable, CustomTestStringConvertible {
    enum Fate: String {
        case accept
        case more
        case refuse
    }

    let name: String
    let bytes: [UInt8]

    var fate: Fate? { self.name.split(separator: "-").first.flatMap { Fate(rawValue: String($0)) } }
    var testDescription: String { self.name }

    static let all: [RecordedInput] = {
        let folder = "/" + #filePath.split(separator: "/").dropLast(2).joined(separator: "/") + "/Inputs"
        let names = (try? FileManager.default.contentsOfDirectory(atPath: folder)) ?? []
        let inputs = names.sorted().compactMap { name -> RecordedInput? in
            guard name.hasSuffix(".hex"), let data = FileManager.default.contents(atPath: folder + "/" + name) else {
                return nil
            }
            return RecordedInput(name: name, bytes: CoAPTests.bytes(String(decoding: data, as: UTF8.self)))
        }
        precondition(!inputs.isEmpty, "no inputs in \(folder)")
        return inputs
    }()
}
