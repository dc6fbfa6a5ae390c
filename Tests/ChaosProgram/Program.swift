import ArgumentParser
import Chaos

@main
enum Program {
    static func main() async {
        await ChaosCommand.main()
    }
}
