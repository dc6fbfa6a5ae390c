import Glibc
import Testing

@testable import ServiceShell

@Suite("Standard output as a log")
struct StandardOutputSinkTests {
    private static func pipe() -> (read: Int32, write: Int32) {
        var ends: [Int32] = [0, 0]
        #expect(Glibc.pipe(&ends) == 0)
        // As in a program with sockets.
        signal(SIGPIPE, SIG_IGN)
        return (ends[0], ends[1])
    }

    /// Reads until that many lines have come.
    private static func lines(_ count: Int, from descriptor: Int32) -> [String] {
        var text: [UInt8] = []
        var piece = [UInt8](repeating: 0, count: 65_536)
        while text.count(where: { $0 == UInt8(ascii: "\n") }) < count {
            let got = read(descriptor, &piece, piece.count)
            guard got > 0 else { break }
            text += piece[..<got]
        }
        return String(decoding: text, as: UTF8.self).split(separator: "\n").map(String.init)
    }

    @Test("A pipe that nobody reads stops nobody, and a reader who comes late finds every line in order")
    func lateReader() {
        let (read, write) = Self.pipe()
        let sink = StandardOutputSink(descriptor: write)
        let filling = String(repeating: "x", count: 90)
        for number in 0..<5000 { sink.write("\(number) \(filling)\n") }
        let lines = Self.lines(5000, from: read)
        #expect(lines == (0..<5000).map { "\($0) \(filling)" })
        sink.flush(within: 2)
        sink.write("afterwards\n")
        #expect(Self.lines(1, from: read) == ["afterwards"])
        close(read)
        sink.flush(within: 2)
        close(write)
    }

    @Test("What is kept for a reader is bounded: lines past the bound are lost, whole ones")
    func bounded() {
        let (read, write) = Self.pipe()
        let sink = StandardOutputSink(descriptor: write, capacity: 10_000)
        let filling = String(repeating: "y", count: 990)
        for number in 0..<1000 { sink.write("\(number) \(filling)\n") }
        // What a pipe holds at least, and a bit of what was kept.
        let kept = Self.lines(66, from: read)
        #expect(kept.allSatisfy { $0.hasSuffix(filling) })
        close(read)
        sink.flush(within: 2)
        close(write)
    }

    @Test("A line longer than a pipe takes at once comes whole")
    func longLine() {
        let (read, write) = Self.pipe()
        let sink = StandardOutputSink(descriptor: write)
        let long = String(repeating: "z", count: 200_000)
        sink.write("\(long)\n")
        #expect(Self.lines(1, from: read) == [long])
        close(read)
        sink.flush(within: 2)
        close(write)
    }
}
