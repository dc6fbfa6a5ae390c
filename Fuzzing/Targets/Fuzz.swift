import CLibFuzzer
import Glibc
import NIOCore

/// One kind of bytes from outside: reads them, and stops the process if something does not hold.
typealias FuzzTarget = @Sendable (ByteBuffer) -> Void

/// Hands inputs to the target that the variable FUZZ_TARGET names; its arguments are libFuzzer's. A variable, since
/// libFuzzer starts itself anew with arguments of its own. Without one it prints what there is.
@main
enum Fuzz {
    static let targets: KeyValuePairs<String, FuzzTarget> = [
        "frame-stream": FrameStreamTarget.check,
        "options": OptionsTarget.check,
        "cbor": CBORTarget.check,
        "connection-machine": ConnectionMachineTarget.check,
        "first-bytes": FirstBytesTarget.check,
        "http-target": HTTPTargetTarget.check,
        "json-body": JSONBodyTarget.check,
        "resp-replies": RESPRepliesTarget.check,
        "websocket": WebSocketTarget.check,
    ]

    private static let chosen = chosenTarget()

    private static func chosenTarget() -> FuzzTarget? {
        guard let name = getenv("FUZZ_TARGET").map({ String(cString: $0) }) else { return nil }
        guard let target = Self.targets.first(where: { $0.key == name }) else {
            fatalError("FUZZ_TARGET is \(name); there are: \(Self.targets.map(\.key).joined(separator: ", "))")
        }
        return target.value
    }

    static func main() {
        guard Self.chosen != nil else {
            for target in Self.targets { print(target.key) }
            return
        }
        var count = CommandLine.argc
        var arguments: UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>? = CommandLine.unsafeArgv
        exit(
            LLVMFuzzerRunDriver(&count, &arguments) { bytes, count in
                Fuzz.chosen?(ByteBuffer(bytes: UnsafeBufferPointer(start: bytes, count: count)))
                return 0
            })
    }
}

/// What must hold whatever the input is.
func require(
    _ holds: Bool, _ sentence: @autoclosure () -> String, file: StaticString = #fileID, line: UInt = #line
) {
    if !holds { fatalError(sentence(), file: file, line: line) }
}
