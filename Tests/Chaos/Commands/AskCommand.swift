import ArgumentParser
import Glibc
import NIOCore

/// `chaos ask`: whom connections are led to, for trying the network out.
struct AskCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "ask", abstract: "Connect to servers of chaos echo, and say whom the connections were led to.",
        discussion: "Each line of the standard input asks again who still answers. It ends with its input.",
        shouldDisplay: false)

    @Option(help: "The address to connect to.")
    var host: String

    @Option(help: "The port to connect to.")
    var port: Int

    @Option(help: "How many connections.")
    var count: Int

    @Option(help: "How many seconds an answer may take.")
    var patience = 5

    func run() async throws {
        let patience = TimeAmount.seconds(Int64(self.patience))
        let clients = await NamingClients(self.count, to: self.host, port: self.port, within: patience)
        var asked = 1
        self.say(clients.summary, asked)
        while readLine() != nil {
            asked += 1
            self.say("\(await clients.living(within: patience)) answer", asked)
        }
    }

    private func say(_ line: String, _ asked: Int) {
        print("\(line)\nasked \(asked)")
        fflush(nil)
    }
}
