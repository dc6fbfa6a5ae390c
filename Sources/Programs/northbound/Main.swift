import Cluster
import FoundationEssentials
import Glibc
import ServiceShell

@main
enum Program {
    static func main() async {
        exit(
            await NorthboundProgram.main(
                arguments: Array(CommandLine.arguments.dropFirst()),
                environment: ProcessInfo.processInfo.environment))
    }
}
