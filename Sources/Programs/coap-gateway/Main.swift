import ArgumentParser
import Cluster
import FoundationEssentials
import Gateway
import Glibc
import MockDevice
import ServiceShell

/// `coap-gateway`, and under their own names all other programs: a container image then holds one file and links to it.
@main
enum Program {
    static func main() async {
        let called = CommandLine.arguments.first?.split(separator: "/").last ?? ""
        switch called {
        case "coap-interface": await Self.become(CoAPInterfaceProgram.self)
        case "northbound": await Self.become(NorthboundProgram.self)
        case "registry": await Self.become(RegistryProgram.self)
        case "mock-device": await MockDeviceCommand.main()
        default: await Self.become(GatewayProgram.self)
        }
    }

    private static func become(_ program: any ServerProgram.Type) async {
        exit(
            await program.main(
                arguments: Array(CommandLine.arguments.dropFirst()),
                environment: ProcessInfo.processInfo.environment))
    }
}
