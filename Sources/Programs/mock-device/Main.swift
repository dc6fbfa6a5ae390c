import ArgumentParser
import MockDevice

@main
enum Program {
    static func main() async {
        await MockDeviceCommand.main()
    }
}
