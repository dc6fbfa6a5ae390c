import CoAP
import Foundation
import NIOCore
import TestServers
import TestSupport
import Testing

@Suite("Mutual TLS between our own programs", .timeLimit(.minutes(3)))
struct InternalTLSTests {
    /// What Kubernetes calls a pod at 127.0.0.1 in the namespace `plant`.
    private static let podName = "127-0-0-1.plant.pod.cluster.local"

    private static func with(
        _ body: @Sendable (RunningCluster, TestCertificates) async throws -> Void
    ) async throws {
        let certificates = try await TestCertificates()
        defer { certificates.remove() }
        var settings = try await certificates.settings(Self.podName)
        settings["POD_NAMESPACE"] = "plant"
        try await RunningCluster.with(.init(settings: settings)) { try await body($0, certificates) }
    }

    @Test("A whole cluster works with it: requests every way, and a device that changes its pod")
    func works() async throws {
        try await Self.with { cluster, _ in
            let owner = try await cluster.owner("alice")
            try await AnsweringDevice.moves("lamp", of: owner, in: cluster)
        }
    }

    @Test("The pod port and the registry's refuse plain text, no certificate, and one of another authority")
    func refused() async throws {
        try await Self.with { cluster, certificates in
            let strangers = try await TestCertificates()
            defer { strangers.remove() }
            let foreign = try await strangers.settings(Self.podName)
            let owner = try await cluster.owner("alice")
            let device = try await cluster.device("lamp", of: owner, at: 0)
            for (process, name) in [(cluster.coapInterfaces[0], "pod"), (try cluster.registry, "registry")] {
                let port = try process.port(name)
                let peer = try await ScriptedPeer.connect(port: port)
                try await peer.start(.ocf(.get, "lamp/light"))
                #expect(try await peer.receiveUntilClose().isEmpty)
                let nobody = try await certificates.call(port: port)
                #expect(nobody.contains("certificate required"), "\(name): \(nobody.suffix(500))")
                let stranger = try await certificates.call(port: port, with: foreign)
                #expect(stranger.contains("alert"), "\(name): \(stranger.suffix(500))")
            }
            try await device.peer.expectSilence()
        }
    }

    @Test("A pod whose certificate has another pod's name gets nothing, and the log of who asked says why")
    func anotherName() async throws {
        try await Self.with { cluster, certificates in
            let wrong = try await certificates.settings("10-0-0-7.plant.pod.cluster.local")
            let pod = try await cluster.startCoAPInterface(wrong)
            try await pod.isReady()
            let owner = try await cluster.owner("alice")
            let device = try await cluster.device("lamp", of: owner, at: cluster.coapInterfaces.count - 1)
            let answer = try await cluster.http(0).request(
                "POST", "/lamp/light", token: owner.token, headers: [("prefer", "wait=2")], body: "{}")
            #expect(answer.status == 503, "\(answer.status) \(answer.text)")
            try await cluster.eventually("the log says what was wrong") {
                cluster.northbounds[0].log.contains { $0.contains("certificate") || $0.contains("CERTIFICATE") }
            }
            try await device.peer.expectSilence()
        }
    }
}
