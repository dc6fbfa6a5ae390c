import Foundation
import TestSupport

/// README.md, as the test reads it.
package enum Readme {
    private struct Step: Sendable {
        var command: String
        /// What is typed into the program: lines after `> `.
        var typed: [String] = []
        /// The answer that is shown, with `<…>` where it differs each time.
        var shown = ""
    }

    /// Runs "A session, step by step" as a person would type it; throws when an answer has another form than is shown.
    ///
    /// - Parameters:
    ///   - suffix: is put behind each name of the script, for a session that is not the first.
    ///   - tls: goes on with "Over TLS", with these ports and this file to trust.
    package static func runSession(
        host: String = "127.0.0.1", http: Int, coap: Int, suffix: String = "",
        tls: (https: Int, coaps: Int, authority: String)? = nil
    ) async throws {
        let host = host.contains(":") ? "[\(host)]" : host
        var steps = try Self.steps(inSection: "A session, step by step", suffix: suffix)
        if tls != nil { steps += try Self.steps(inSection: "Over TLS", suffix: suffix) }
        guard steps.count >= (tls == nil ? 9 : 12) else { throw PeerError("README.md has only \(steps.count) steps") }
        var known: [String: String] = [:]
        var devices: [Subprocess] = []
        for step in steps {
            let command = Self.filled(step.command, known)
                .replacingOccurrences(of: "127.0.0.1:8080", with: "\(host):\(http)")
                .replacingOccurrences(of: "127.0.0.1:5683", with: "\(host):\(coap)")
                .replacingOccurrences(of: "127.0.0.1:8443", with: "\(host):\(tls?.https ?? 0)")
                .replacingOccurrences(of: "127.0.0.1:5684", with: "\(host):\(tls?.coaps ?? 0)")
                .replacingOccurrences(of: "data/tls/ca.pem", with: tls?.authority ?? "")
                .replacingOccurrences(of: "curl ", with: "curl -sS ")
            if let flags = Self.deviceFlags(command) {
                devices.append(try await Self.startDevice(flags, typed: step.typed))
                continue
            }
            guard command.hasPrefix("curl ") else { throw PeerError("a command that is not known here: \(command)") }
            let ended = try await Subprocess.run(["/bin/bash", "-c", command])
            guard ended.status == 0 else { throw PeerError("\(command): \(ended.errors)") }
            for (name, value) in try Self.match(step.shown, ended.output) {
                IssuedSecrets.shared.note(value)
                known[name] = value
            }
        }
        guard devices.count == (tls == nil ? 1 : 2) else {
            throw PeerError("README.md starts \(devices.count) devices")
        }
        for device in devices {
            try device.type("quit\n")
            let ended = await device.ended()
            guard ended.status == 0 else { throw PeerError("the device ended with \(ended.status): \(ended.errors)") }
        }
    }

    private static func startDevice(_ flags: String, typed: [String]) async throws -> Subprocess {
        let device = try Subprocess(["/bin/bash", "-c", "exec \(Subprocess.products)/mock-device \(flags)"])
        for line in typed {
            try device.type("\(line)\n")
        }
        try await device.waitFor("Published")
        return device
    }

    /// The commands of all `console` blocks of one section, each with what is shown after it.
    private static func steps(inSection title: String, suffix: String) throws -> [Step] {
        let text = try String(contentsOfFile: "\(Subprocess.root)/README.md", encoding: .utf8)
            .replacingOccurrences(of: "alice", with: "alice\(suffix)")
            .replacingOccurrences(of: "device-test-uuid", with: "device-test-uuid\(suffix)")
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
    private static func filled(_ command: String, _ known: [String: String]) -> String {
        known.reduce(command) { $0.replacingOccurrences(of: "<\($1.key)>", with: $1.value) }
    }

    /// The words after `make device`, nil for another command.
    private static func deviceFlags(_ command: String) -> String? {
        guard command.hasPrefix("make device ARGS='"), command.hasSuffix("'") else { return nil }
        return String(command.dropFirst("make device ARGS='".count).dropLast())
    }

    /// Holds an answer against what is shown; the values that stand in the place of `<…>`.
    private static func match(_ shown: String, _ answer: String) throws -> [String: String] {
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
