import FoundationEssentials
import Gateway
import Glibc

@main
enum Program {
    static func main() async {
        exit(
            await GatewayProgram.main(
                arguments: Array(CommandLine.arguments.dropFirst()),
                environment: ProcessInfo.processInfo.environment))
    }
}
