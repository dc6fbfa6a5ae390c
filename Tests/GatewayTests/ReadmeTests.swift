import Foundation
import TestServers
import TestSupport
import Testing

@Suite("README.md")
struct ReadmeTests {
    @Test("The session, step by step, runs as it is written, and every answer has the form that is shown")
    func consoleSession() async throws {
        let steps = try Readme.steps(inSection: "A session, step by step")
        #expect(steps.count >= 9)
        try await GatewayProcess.with { gateway in
            var known: [String: String] = [:]
            var devices: [Subprocess] = []
            for step in steps {
                let command = Readme.filled(step.command, known)
                    .replacingOccurrences(of: "127.0.0.1:8080", with: "127.0.0.1:\(gateway.http)")
                    .replacingOccurrences(of: "127.0.0.1:5683", with: "127.0.0.1:\(gateway.coap)")
                    .replacingOccurrences(of: "curl ", with: "curl -sS ")
                if let flags = Readme.deviceFlags(command) {
                    let device = try Subprocess(
                        ["/bin/bash", "-c", "exec \(Subprocess.products)/mock-device \(flags)"])
                    devices.append(device)
                    for line in step.typed {
                        try device.type("\(line)\n")
                    }
                    try await device.waitFor("Published")
                    continue
                }
                try #require(command.hasPrefix("curl "), "a command this test does not know: \(command)")
                let ended = try await Subprocess.run(["/bin/bash", "-c", command])
                #expect(ended.status == 0, "\(ended.errors)")
                let found = try Readme.match(step.shown, ended.output)
                for (name, value) in found {
                    IssuedSecrets.shared.note(value)
                    known[name] = value
                }
            }
            #expect(devices.count == 1)
            for device in devices {
                try device.type("quit\n")
                #expect(await device.ended().status == 0)
            }
        }
    }

    @Test("The script, with the tokens in shell variables, runs by itself: make demo")
    func demo() async throws {
        let ended = try await Subprocess.run(
            ["/bin/bash", "scripts/demo"], environment: ["PRODUCTS": Subprocess.products])
        try #require(ended.status == 0, "\(ended.output)\n\(ended.errors)")
        #expect(ended.output.contains("test response payload from device"))
        #expect(ended.output.contains("\"status\":\"online\""))
        #expect(ended.output.contains("/OCF-cloud-device-test-uuid/light"))
        // The grep that follows one request: northbound, the device's session, and the registry that knew the token.
        let followed = ended.output.split(separator: "\n").filter {
            $0.contains("request.id=my-request-1") && $0.contains(" info ")
        }
        #expect(followed.contains { $0.contains("northbound") })
        #expect(followed.contains { $0.contains("coap-interface") })
        #expect(followed.contains { $0.contains("registry") })
    }
}

/// README.md, as the test reads it.
private enum Readme {
    struct Step: Sendable {
        var command: String
        /// What is typed into the program: lines after `> `.
        var typed: [String] = []
        /// The answer that is shown, with `<…>` where it differs each time.
        var shown = ""
    }

    /// The commands of all `console` blocks of one section, each with what is shown after it.
    static func steps(inSection title: String) throws -> [Step] {
        let text = try String(contentsOfFile: "\(Subprocess.root)/README.md", encoding: .utf8)
        var steps: [Step] = []
        var isInside = false
        var isConsole = false
        var continues = false
        for line in text.components(separatedBy: "\n") {
            if line.hasPrefix("## ") { isInside = line == "## \(title)" }
            guard isInside else { continue }
            if line.hasPrefix("```") {
                isConsole = line == "```console"
                continue
            }
            guard isConsole else { continue }
            if continues {
                steps[steps.count - 1].command += "\n\(line)"
                continues = line.hasSuffix("\\")
            } else if line.hasPrefix("$ ") {
                steps.append(Step(command: String(line.dropFirst(2))))
                continues = line.hasSuffix("\\")
            } else if line.hasPrefix("> ") {
                steps[steps.count - 1].typed.append(String(line.dropFirst(2)))
            } else {
                steps[steps.count - 1].shown += line
            }
        }
        return steps
    }

    /// The command with what earlier answers gave in the place of `<…>`.
    static func filled(_ command: String, _ known: [String: String]) -> String {
        known.reduce(command) { $0.replacingOccurrences(of: "<\($1.key)>", with: $1.value) }
    }

    /// The words after `make device`, nil for another command.
    static func deviceFlags(_ command: String) -> String? {
        guard command.hasPrefix("make device ARGS='"), command.hasSuffix("'") else { return nil }
        return String(command.dropFirst("make device ARGS='".count).dropLast())
    }

    /// Holds an answer against what is shown; the values that stand in the place of `<…>`.
    static func match(_ shown: String, _ answer: String) throws -> [String: String] {
        var found: [String: String] = [:]
        var rest = answer.trimmingCharacters(in: .newlines)[...]
        var pattern = shown[...]
        while let open = pattern.firstIndex(of: "<"), let close = pattern[open...].firstIndex(of: ">") {
            let literal = pattern[..<open]
            guard rest.hasPrefix(literal) else { throw PeerError("\(answer) is not \(shown)") }
            rest = rest.dropFirst(literal.count)
            let value = rest.prefix { $0 != "\"" }
            found[String(pattern[pattern.index(after: open)..<close])] = String(value)
            rest = rest.dropFirst(value.count)
            pattern = pattern[pattern.index(after: close)...]
        }
        guard rest == pattern else { throw PeerError("\(answer) is not \(shown)") }
        return found
    }
}
