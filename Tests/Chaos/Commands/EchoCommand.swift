import ArgumentParser
import Glibc

/// `chaos echo`: a server that says its name, for trying the network out.
struct EchoCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "echo", abstract: "Say a name to whoever connects, and return what is sent.", shouldDisplay: false)

    @Option(help: "The address to listen on.")
    var host: String

    @Option(help: "The port to listen on.")
    var port: Int

    @Option(help: "What to say.")
    var name: String

    func run() async throws {
        let server = try await NamingServer.start(on: self.host, port: self.port, name: self.name)
        print("\(self.name) listens on \(self.host):\(self.port).")
        fflush(nil)
        try await server.over()
    }
}
