import Glibc
import MockDevice
import Testing

@Suite("Reading lines", .timeLimit(.minutes(1)))
struct StandardInputTests {
    @Test("lines come from a pipe, the last without an end, then the end of the input, for ever")
    func pipeEnd() async throws {
        let ends = try self.makePipe()
        write(ends.writer, "one\ntwo\r\nthree", 14)
        close(ends.writer)
        let input = try StandardInput(descriptor: ends.reader)
        #expect(await input.next() == "one")
        #expect(await input.next() == "two")
        #expect(await input.next() == "three")
        #expect(await input.next() == nil)
        #expect(await input.next() == nil)
        await input.shutdown()
        close(ends.reader)
    }

    @Test("a line may come in pieces")
    func pieces() async throws {
        let ends = try self.makePipe()
        let input = try StandardInput(descriptor: ends.reader)
        write(ends.writer, "on", 2)
        async let line = input.next()
        write(ends.writer, "e\n", 2)
        #expect(await line == "one")
        close(ends.writer)
        await input.shutdown()
        close(ends.reader)
    }

    @Test("a file is read to its end")
    func file() async throws {
        let directory = try TemporaryDirectory()
        try directory.write("register\nquit\n", to: "state")
        let descriptor = open(directory.path + "/state", O_RDONLY)
        let input = try StandardInput(descriptor: descriptor)
        #expect(await input.next() == "register")
        #expect(await input.next() == "quit")
        #expect(await input.next() == nil)
        await input.shutdown()
        close(descriptor)
    }

    @Test("who waits for a line is not kept waiting when cancelled")
    func cancelled() async throws {
        let ends = try self.makePipe()
        let input = try StandardInput(descriptor: ends.reader)
        await withTaskGroup(of: String?.self) { group in
            group.addTask { await input.next() }
            group.cancelAll()
            #expect(await group.next() == .some(nil))
        }
        await input.shutdown()
        close(ends.writer)
        close(ends.reader)
    }

    private func makePipe() throws -> (reader: CInt, writer: CInt) {
        var ends: [CInt] = [-1, -1]
        try #require(pipe(&ends) == 0)
        return (ends[0], ends[1])
    }
}
