import ArgumentParser
import Glibc
import NIOCore

/// `chaos relay`: a long wire to a server.
struct RelayCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "relay", abstract: "Pass connections on to a server, everything later by a fixed time.",
        shouldDisplay: false)

    @Option(help: "The address to listen on.")
    var host: String

    @Option(help: "The port to listen on.")
    var port: Int

    @Option(help: "The server's address.")
    var targetHost: String

    @Option(help: "The server's port.")
    var targetPort: Int

    @Option(help: "How many milliseconds everything takes, each way.")
    var delay: Int

    func run() async throws {
        let relay = try await DelayingRelay.start(
            on: self.host, port: self.port, to: (self.targetHost, self.targetPort),
            delay: .milliseconds(Int64(self.delay)))
        print("Passing connections to \(self.host):\(relay.port) on to \(self.targetHost):\(self.targetPort).")
        fflush(nil)
        try await relay.over()
    }
}
