package import ArgumentParser

/// `chaos`: a cluster, its fleets and its clients, and all that may happen to them.
package struct ChaosCommand: AsyncParsableCommand {
    package static let configuration = CommandConfiguration(
        commandName: "chaos",
        abstract: "Find out whether anybody notices when a cluster changes or breaks.",
        subcommands: [
            RunCommand.self, CheckCommand.self, SoakCommand.self, StrangersCommand.self, TrafficCommand.self,
            RelayCommand.self, EchoCommand.self,
            AskCommand.self, NetworkTrialCommand.self,
        ]
    )

    package init() {}
}
