package import ArgumentParser

/// `mock-device`.
package struct MockDeviceCommand: AsyncParsableCommand {
    package static let configuration = CommandConfiguration(
        commandName: "mock-device",
        abstract: "An OCF device for trying out and testing a cloud over CoAP/TCP.",
        discussion: """
            Without a subcommand it asks what it needs to know and then waits for commands at a prompt. Each question \
            is skipped when its flag is given: --address --uid --di --access-token --onetime-token --refresh-token. \
            'mock-device help interactive' explains these and the other flags.

            Lines on standard input drive it too, so that a script can:

              printf 'register\\nsession\\npublish\\n' |
                mock-device --address 127.0.0.1:5683 --uid alice \\
                  --di OCF-cloud-device-test-uuid --access-token '' \\
                  --onetime-token TOKEN --refresh-token ''
            """,
        // That of all programs: a test holds it.
        version: "mock-device 0.1.0",
        subcommands: [InteractiveCommand.self, RunCommand.self, TestCommand.self],
        defaultSubcommand: InteractiveCommand.self
    )

    package init() {}
}
