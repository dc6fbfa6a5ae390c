import Foundation
import Synchronization
import TestSupport

/// A program in a process of its own, as a person or a script would start it.
final class Subprocess: Sendable {
    /// The folder of this repository.
    static let root = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
        .deletingLastPathComponent().path

    /// Where this run's programs were built: beside the tests themselves.
    static let products = URL(fileURLWithPath: "/proc/self/exe").resolvingSymlinksInPath().deletingLastPathComponent()
        .path

    struct Ended: Sendable {
        let status: Int32
        let output: String
        let errors: String
    }

    fileprivate struct State {
        var output = ""
        var errors = ""
        var status: Int32?
        /// The wish, and whom to tell.
        var waiting: [(text: String, CheckedContinuation<Bool, Never>)] = []
        var ending: [CheckedContinuation<Int32, Never>] = []
    }

    // Foundation's Process is Sendable on Linux; its pipes are only touched by their own handlers.
    private let process: Process
    private let input: Pipe
    private let state = Mutex(State())

    /// Starts `arguments[0]`, an absolute path or a program of ours.
    init(
        _ arguments: [String], environment: [String: String] = [:], directory: String = Subprocess.root
    ) throws {
        let program = arguments[0].hasPrefix("/") ? arguments[0] : "\(Self.products)/\(arguments[0])"
        let process = Process()
        let input = Self.pipe()
        self.input = input
        process.executableURL = URL(fileURLWithPath: program)
        process.arguments = Array(arguments.dropFirst())
        process.environment = ProcessInfo.processInfo.environment.merging(environment) { $1 }
        process.currentDirectoryURL = URL(fileURLWithPath: directory)
        process.standardInput = input
        self.process = process
        let output = Self.pipe()
        let errors = Self.pipe()
        process.standardOutput = output
        process.standardError = errors
        let drained = DispatchGroup()
        self.drain(output, into: \.output, drained)
        self.drain(errors, into: \.errors, drained)
        process.terminationHandler = { ended in
            let status = ended.terminationStatus
            drained.notify(queue: .global()) { self.finish(status) }
        }
        try Self.starting.withLock { _ in try process.run() }
    }

    /// No other child may inherit an end: it would keep the pipe open after our own child is gone.
    private static func pipe() -> Pipe {
        Self.starting.withLock { _ in
            let pipe = Pipe()
            for handle in [pipe.fileHandleForReading, pipe.fileHandleForWriting] {
                _ = fcntl(handle.fileDescriptor, F_SETFD, FD_CLOEXEC)
            }
            return pipe
        }
    }

    /// Held while a pipe is made and while a child is started.
    private static let starting = Mutex<Void>(())

    private func drain(_ pipe: Pipe, into member: any WritableKeyPath<State, String> & Sendable, _ group: DispatchGroup)
    {
        group.enter()
        pipe.fileHandleForReading.readabilityHandler = { handle in
            let data = handle.availableData
            guard !data.isEmpty else {
                handle.readabilityHandler = nil
                group.leave()
                return
            }
            let told = self.state.withLock { state in
                state[keyPath: member] += String(decoding: data, as: UTF8.self)
                return state.takeFulfilled()
            }
            for continuation in told { continuation.resume(returning: true) }
        }
    }

    private func finish(_ status: Int32) {
        let (ending, waiting) = self.state.withLock { state in
            state.status = status
            defer {
                state.ending = []
                state.waiting = []
            }
            return (state.ending, state.waiting)
        }
        for continuation in ending { continuation.resume(returning: status) }
        for (_, continuation) in waiting { continuation.resume(returning: false) }
    }

    /// Waits until the text was written to standard output or error; fails if the program ends without.
    func waitFor(_ text: String) async throws {
        let found = await withCheckedContinuation { continuation in
            let known: Bool? = self.state.withLock { state in
                if state.output.contains(text) || state.errors.contains(text) { return true }
                if state.status != nil { return false }
                state.waiting.append((text, continuation))
                return nil
            }
            if let known { continuation.resume(returning: known) }
        }
        guard found else {
            let (output, errors) = self.state.withLock { ($0.output, $0.errors) }
            throw PeerError("ended without \"\(text)\":\n\(output)\n\(errors)")
        }
    }

    /// What it wrote to standard output by now.
    var outputSoFar: String { self.state.withLock { $0.output } }

    /// Writes to its standard input.
    func type(_ text: String) throws {
        try self.input.fileHandleForWriting.write(contentsOf: Data(text.utf8))
    }

    func closeInput() throws {
        try self.input.fileHandleForWriting.close()
    }

    func signal(_ number: Int32) {
        kill(self.process.processIdentifier, number)
    }

    /// Waits for its end; ends it by force after `patience`.
    func ended(patience: Double = 120) async -> Ended {
        let pid = self.process.processIdentifier
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
    static func run(
        _ arguments: [String], environment: [String: String] = [:], directory: String = Subprocess.root
    ) async throws -> Ended {
        let process = try Subprocess(arguments, environment: environment, directory: directory)
        try process.closeInput()
        return await process.ended()
    }
}

extension Subprocess.State {
    /// Whose text has come.
    fileprivate mutating func takeFulfilled() -> [CheckedContinuation<Bool, Never>] {
        let fulfilled = self.waiting.filter { self.output.contains($0.text) || self.errors.contains($0.text) }
        self.waiting.removeAll { self.output.contains($0.text) || self.errors.contains($0.text) }
        return fulfilled.map(\.1)
    }
}
