package import ArgumentParser

/// `mock-device`.
package struct MockDeviceCommand: AsyncParsableCommand {
    package static let configuration = CommandConfiguration(
        commandName: "mock-device",
        abstract: "An OCF device for trying out and testing a cloud over CoAP/TCP.",
        discussion: """
            Without a subcommand it asks what it needs to know and then waits for commands at a prompt. Lines on \
            standard input drive it the same way, so that a script can:

              printf 'register\\nsession\\npublish\\n' | mock-device --address 127.0.0.1:5683 --uid alice \\
                --di OCF-cloud-device-test-uuid --access-token '' --onetime-token TOKEN --refresh-token ''
            """,
        subcommands: [InteractiveCommand.self],
        defaultSubcommand: InteractiveCommand.self
    )

    package init() {}
}
