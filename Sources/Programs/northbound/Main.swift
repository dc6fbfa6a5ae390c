import Cluster
import FoundationEssentials
import Glibc

@main
enum Program {
    static func main() async {
        exit(
            await NorthboundProgram.main(
                arguments: Array(CommandLine.arguments.dropFirst()),
                environment: ProcessInfo.processInfo.environment))
    }
}
