import Foundation
package import Glibc
import Synchronization
import TestSupport

/// A program in a process of its own, as a person or a script would start it.
package final class Subprocess: Sendable {
    /// The folder of this repository.
    package static let root = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
        .deletingLastPathComponent().path

    /// Where this run's programs were built: beside the tests themselves.
    package static let products = URL(fileURLWithPath: "/proc/self/exe").resolvingSymlinksInPath()
        .deletingLastPathComponent()
        .path

    package struct Ended: Sendable {
        package let status: Int32
        package let output: String
        package let errors: String
    }

    fileprivate struct State {
        var output = ""
        var errors = ""
        var status: Int32?
        /// The wish, and whom to tell.
        var waiting: [Int: (text: String, continuation: CheckedContinuation<Bool, Never>)] = [:]
        var waits = 0
        var ending: [CheckedContinuation<Int32, Never>] = []
    }

    package let pid: pid_t
    /// Our end of its standard input.
    private let input: Int32
    private let state = Mutex(State())

    /// Starts `arguments[0]`, an absolute path or a program of ours.
    ///
    /// By `posix_spawn`, so that the child begins with no signal blocked, whichever thread starts it, and inherits no
    /// descriptor but its own three: Foundation's Process promises neither.
    package init(
        _ arguments: [String], environment: [String: String] = [:], directory: String = Subprocess.root
    ) throws {
        let program = arguments[0].hasPrefix("/") ? arguments[0] : "\(Self.products)/\(arguments[0])"
        Self.starting.lock()
        defer { Self.starting.unlock() }
        let input = try Self.pipe()
        let output = try Self.pipe()
        let errors = try Self.pipe()

        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        defer { posix_spawn_file_actions_destroy(&actions) }
        posix_spawn_file_actions_adddup2(&actions, input.read, STDIN_FILENO)
        posix_spawn_file_actions_adddup2(&actions, output.write, STDOUT_FILENO)
        posix_spawn_file_actions_adddup2(&actions, errors.write, STDERR_FILENO)
        // Whatever else is open, sockets of other tests included: a child that had one would hold its end back.
        _ = closeFrom(&actions, STDERR_FILENO + 1)

        var attributes = posix_spawnattr_t()
        posix_spawnattr_init(&attributes)
        defer { posix_spawnattr_destroy(&attributes) }
        var signals = sigset_t()
        sigemptyset(&signals)
        posix_spawnattr_setsigmask(&attributes, &signals)
        sigfillset(&signals)
        posix_spawnattr_setsigdefault(&attributes, &signals)
        posix_spawnattr_setflags(&attributes, Int16(POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF))

        let variables = ProcessInfo.processInfo.environment.merging(environment) { $1 }.map { "\($0)=\($1)" }
        let words = (["env", "-C", directory, program] + arguments.dropFirst()).map { strdup($0) } + [nil]
        let settings = variables.map { strdup($0) } + [nil]
        defer { for text in words + settings { free(text) } }
        var pid: pid_t = 0
        let result = posix_spawn(&pid, "/usr/bin/env", &actions, &attributes, words, settings)
        for descriptor in [input.read, output.write, errors.write] { close(descriptor) }
        guard result == 0 else {
            for descriptor in [input.write, output.read, errors.read] { close(descriptor) }
            throw PeerError("\(program) cannot be started: \(String(cString: strerror(result)))")
        }
        self.pid = pid
        self.input = input.write
        self.watch(output.read, errors.read)
    }

    /// Held from the first pipe to the child's start, so that no other child can inherit an end.
    private static let starting = NSLock()

    private static func pipe() throws -> (read: Int32, write: Int32) {
        var ends: [Int32] = [0, 0]
        guard Glibc.pipe(&ends) == 0 else { throw PeerError("no pipe: \(String(cString: strerror(errno)))") }
        for end in ends { _ = fcntl(end, F_SETFD, FD_CLOEXEC) }
        return (ends[0], ends[1])
    }

    /// One thread for each stream and one for the end, none of them Swift's own.
    private func watch(_ output: Int32, _ errors: Int32) {
        let streams = DispatchGroup()
        for (descriptor, isOutput) in [(output, true), (errors, false)] {
            streams.enter()
            Thread.detachNewThread {
                self.drain(descriptor, isOutput: isOutput)
                streams.leave()
            }
        }
        Thread.detachNewThread {
            var status: Int32 = 0
            while waitpid(self.pid, &status, 0) == -1, errno == EINTR {}
            // A grandchild may hold a stream open; what the child itself wrote is there by then.
            _ = streams.wait(timeout: .now() + 1)
            let signal = status & 0x7F
            self.finish(signal == 0 ? (status >> 8) & 0xFF : 128 + signal)
        }
    }

    private func drain(_ descriptor: Int32, isOutput: Bool) {
        var bytes = [UInt8](repeating: 0, count: 65_536)
        while true {
            let count = read(descriptor, &bytes, bytes.count)
            if count == -1, errno == EINTR { continue }
            guard count > 0 else { break }
            let text = String(decoding: bytes[..<count], as: UTF8.self)
            let told = self.state.withLock { state in
                if isOutput { state.output += text } else { state.errors += text }
                return state.takeFulfilled()
            }
            for continuation in told { continuation.resume(returning: true) }
        }
        close(descriptor)
    }

    private func finish(_ status: Int32) {
        let (ending, waiting) = self.state.withLock { state in
            state.status = status
            defer {
                state.ending = []
                state.waiting = [:]
            }
            return (state.ending, state.waiting)
        }
        for continuation in ending { continuation.resume(returning: status) }
        for wait in waiting.values { wait.continuation.resume(returning: false) }
    }

    /// Waits until the text was written to standard output or error; fails if the program ends without, or the test is
    /// out of time.
    package func waitFor(_ text: String) async throws {
        let number = self.state.withLock { state in
            state.waits += 1
            return state.waits
        }
        let found = await withTaskCancellationHandler {
            await withCheckedContinuation { continuation in
                let known: Bool? = self.state.withLock { state in
                    if state.output.contains(text) || state.errors.contains(text) { return true }
                    if state.status != nil || Task.isCancelled { return false }
                    state.waiting[number] = (text, continuation)
                    return nil
                }
                if let known { continuation.resume(returning: known) }
            }
        } onCancel: {
            self.state.withLock { $0.waiting.removeValue(forKey: number) }?.continuation.resume(returning: false)
        }
        guard found else {
            let (output, errors, hasEnded) = self.state.withLock { ($0.output, $0.errors, $0.status != nil) }
            throw PeerError("\(hasEnded ? "ended" : "still runs,") without \"\(text)\":\n\(output)\n\(errors)")
        }
    }

    /// What it wrote to standard output by now.
    package var outputSoFar: String { self.state.withLock { $0.output } }

    /// Writes to its standard input.
    package func type(_ text: String) throws {
        let bytes = Array(text.utf8)
        guard write(self.input, bytes, bytes.count) == bytes.count else { throw PeerError("it does not read") }
    }

    package func closeInput() {
        close(self.input)
    }

    package func signal(_ number: Int32) {
        kill(self.pid, number)
    }

    /// Waits for its end; ends it by force after `patience`.
    package func ended(patience: Double = 120) async -> Ended {
        let pid = self.pid
        let watchdog = DispatchWorkItem { kill(pid, SIGKILL) }
        DispatchQueue.global().asyncAfter(deadline: .now() + patience, execute: watchdog)
        let status = await withCheckedContinuation { continuation in
            let known: Int32? = self.state.withLock { state in
                if state.status == nil { state.ending.append(continuation) }
                return state.status
            }
            if let known { continuation.resume(returning: known) }
        }
        watchdog.cancel()
        return self.state.withLock { Ended(status: status, output: $0.output, errors: $0.errors) }
    }

    /// Runs a program to its end.
    package static func run(
        _ arguments: [String], environment: [String: String] = [:], directory: String = Subprocess.root
    ) async throws -> Ended {
        let process = try Subprocess(arguments, environment: environment, directory: directory)
        process.closeInput()
        return await process.ended()
    }
}

extension Subprocess.State {
    /// Whose text has come.
    fileprivate mutating func takeFulfilled() -> [CheckedContinuation<Bool, Never>] {
        let fulfilled = self.waiting.filter { self.output.contains($1.text) || self.errors.contains($1.text) }
        for number in fulfilled.keys { self.waiting.removeValue(forKey: number) }
        return fulfilled.values.map(\.continuation)
    }
}

/// glibc has it from 2.34 on, and its module does not show it.
@_silgen_name("posix_spawn_file_actions_addclosefrom_np")
private func closeFrom(_ actions: UnsafeMutablePointer<posix_spawn_file_actions_t>, _ descriptor: Int32) -> Int32
