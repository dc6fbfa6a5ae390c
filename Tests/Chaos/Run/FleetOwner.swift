import Foundation
import TestSupport

/// The user whose devices a fleet has: what provisions them, and what asks for them.
struct FleetOwner: Sendable {
    let mediator: String
    /// Of the file that `chaos traffic --token-file` reads: prefix, number of devices, token.
    private let line: String

    /// Registers the user.
    static func register(
        _ name: String, devices: Int, prefix: String, at http: HTTPTestClient
    ) async throws -> FleetOwner {
        let cloud = Cloud(http: http)
        let owner = try await cloud.owner(name)
        let code = try await cloud.clientCode("\(name)-app", mediator: owner.mediator)
        let answer = try await http.post(
            "/oic/sec/account", "{\"uid\": \"\(name)\", \"di\": \"\(name)-app\", \"accesstoken\": \"\(code)\"}")
        guard answer.status == 200, let token = answer.member("accesstoken") else {
            throw RunError("The client of \(name) got no token: \(answer.status) \(answer.text)")
        }
        return FleetOwner(mediator: owner.mediator, line: "\(prefix) \(devices) \(token)")
    }

    /// - Returns: the path of the file.
    static func writeTokens(of owners: [FleetOwner], in place: String) throws -> String {
        let file = "\(place)/tokens"
        guard
            FileManager.default.createFile(
                atPath: file, contents: Data(owners.map(\.line).joined(separator: "\n").utf8),
                attributes: [.posixPermissions: 0o600])
        else { throw RunError("\(file) cannot be written.") }
        return file
    }

    private struct Cloud: CloudUnderTest {
        let http: HTTPTestClient

        func connect() async throws -> ScriptedPeer {
            throw RunError("The run itself has no device; its fleets do.")
        }
    }
}
