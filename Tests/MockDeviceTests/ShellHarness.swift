import CBOR
import Cloud
import CoAP
import CoAPTransport
import Logging
import MockDevice
import NIOCore
import NIOPosix
import Synchronization
import Testing

/// Lines a test feeds to the device.
final class Feed: LineSource {
    private let lines: AsyncStream<String>
    private let queue: AsyncStream<String>.Continuation

    init(_ lines: [String] = []) {
        (self.lines, self.queue) = AsyncStream.makeStream()
        lines.forEach { self.queue.yield($0) }
    }

    func type(_ line: String) { self.queue.yield(line) }
    func end() { self.queue.finish() }

    func next() async -> String? {
        var iterator = self.lines.makeAsyncIterator()
        return await iterator.next()
    }
}

/// What the device has printed, and a way to wait for more of it.
final class Transcript: Sendable {
    private struct State {
        var text = ""
        var waiters: [(text: String, continuation: CheckedContinuation<Void, Never>)] = []
    }

    private let state = Mutex(State())

    var text: String { self.state.withLock { $0.text } }

    func append(_ more: String) {
        let ready = self.state.withLock { state in
            state.text += more
            let text = state.text
            let ready = state.waiters.filter { text.contains($0.text) }
            state.waiters.removeAll { text.contains($0.text) }
            return ready
        }
        ready.forEach { $0.continuation.resume() }
    }

    func wait(for text: String) async {
        await withCheckedContinuation { continuation in
            let isThere = self.state.withLock { state in
                if state.text.contains(text) { return true }
                state.waiters.append((text, continuation))
                return false
            }
            if isThere { continuation.resume() }
        }
    }
}

/// A shell with everything given by flags, so that no question is asked, and delays of milliseconds.
func setup(port: Int, _ change: (inout InteractiveShell.Setup) -> Void = { _ in }) -> InteractiveShell.Setup {
    var setup = InteractiveShell.Setup(
        answers: Answers(
            address: ServerAddress(host: "127.0.0.1", port: port), uid: "", di: "d-1", oneTimeToken: Secret("code-1")
        ),
        given: Set(Question.allCases), requestTimeout: .seconds(30), retryBase: .milliseconds(4)
    )
    change(&setup)
    return setup
}

/// Runs the program on these lines.
///
/// - Returns: the exit status.
func runShell(_ setup: InteractiveShell.Setup, _ feed: Feed, _ transcript: Transcript = Transcript()) async -> Int32 {
    let group = MultiThreadedEventLoopGroup.singleton
    let console = Console(isTerminal: setup.isTerminal)
    let shell = InteractiveShell(
        setup: setup, lines: feed, console: console,
        dialer: TCPDialer(CoAPDialer(group: group, logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() })),
        eventLoop: group.next()
    )
    return await withTaskGroup(of: Void.self, returning: Int32.self) { output in
        output.addTask { await console.run(transcript.append) }
        let status = await shell.run()
        console.finish()
        return status
    }
}
