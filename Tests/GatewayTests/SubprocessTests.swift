import Glibc
import TestServers
import TestSupport
import Testing

/// What the tests of programs stand on.
@Suite("A program that a test waits for", .timeLimit(.minutes(3)))
struct SubprocessTests {
    @Test("A test that is out of time waits no longer for a text that does not come")
    func cancelled() async throws {
        let program = try Subprocess(["/bin/sleep", "60"])
        for pause in 0..<20 {
            await withThrowingTaskGroup(of: Void.self) { group in
                group.addTask { try await program.waitFor("never") }
                // Before it waits, or after.
                for _ in 0..<pause { await Task.yield() }
                group.cancelAll()
                let end = await group.nextResult()
                let error = #expect(throws: PeerError.self) { try end?.get() }
                #expect(error?.description.hasPrefix("still runs, without \"never\"") == true)
            }
        }
        program.signal(SIGKILL)
        _ = await program.ended()
    }
}
