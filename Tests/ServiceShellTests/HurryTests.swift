import Testing
import UnixSignals

@testable import ServiceShell

@Suite("Hurry", .timeLimit(.minutes(1)))
struct HurryTests {
    @Test("What takes long is cancelled when there is hurry, before or while it runs", arguments: [true, false])
    func cancels(isBefore: Bool) async {
        let hurry = Hurry()
        if isBefore { hurry.begin() }
        let (begun, hasBegun) = AsyncStream.makeStream(of: Void.self)
        async let over: Void = hurry.cancels {
            hasBegun.yield()
            // Nothing ever comes: it ends when the task is cancelled.
            for await _ in AsyncStream.makeStream(of: Void.self).stream {}
            #expect(Task.isCancelled)
        }
        for await _ in begun { break }
        hurry.begin()
        await over
    }

    @Test("Without hurry it comes to its end")
    func ends() async {
        let hurry = Hurry()
        await hurry.cancels {}
        // Nothing is left that waits.
        hurry.begin()
    }

    @Test("SIGINT is hurry, SIGTERM is not")
    func signals() async {
        for (signal, isHurry) in [(UnixSignal.sigterm, false), (.sigint, true)] {
            let hurry = Hurry()
            let signals = AsyncStream<UnixSignal> { continuation in
                continuation.yield(signal)
                continuation.finish()
            }
            await Impatience.watch(signals, hurry: hurry) {}
            #expect(hurry.isThere == isHurry)
        }
    }
}
