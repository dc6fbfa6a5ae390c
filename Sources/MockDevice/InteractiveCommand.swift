package import ArgumentParser
import Cloud
import CoAPTransport
import Glibc
import Logging
import NIOCore
import NIOPosix
import UnixSignals

/// `mock-device interactive`, which is also what runs without a subcommand.
package struct InteractiveCommand: AsyncParsableCommand {
    package static let configuration = CommandConfiguration(
        commandName: "interactive",
        abstract: "Ask what is not given by a flag, then take commands from a prompt or a script.",
        discussion: """
            The usual order is register, session, publish; after that the device serves what the cloud sends it, and \
            comes back by itself when the connection is lost. Tokens given as flags can be seen by other users of \
            this machine; type them at the questions instead where that matters.
            """
    )

    @Option(
        help: .init(
            "Where the cloud listens: HOST, HOST:PORT, [IPV6]:PORT or coap+tcp://HOST:PORT; coaps+tcp:// for TLS, "
                + "coap+ws:// and coaps+ws:// for WebSocket.", valueName: "address"),
        transform: InteractiveCommand.address
    )
    var address: ServerAddress?

    @Option(help: .init("The user the device belongs to; may be empty before register.", valueName: "id"))
    var uid: String?

    @Option(help: .init("The device ID.", valueName: "id"))
    var di: String?

    @Option(help: .init("Sent by session until register or refresh returned another one.", valueName: "token"))
    var accessToken: String?

    @Option(help: .init("The one-time token a mediator provisioned; register sends it.", valueName: "token"))
    var onetimeToken: String?

    @Option(help: .init("Sent by refresh until register or refresh returned another one.", valueName: "token"))
    var refreshToken: String?

    @Option(
        help: .init("Keep the tokens in this file (mode 0600) and start from them the next time.", valueName: "file")
    )
    var state: String?

    @OptionGroup var tls: TLSOptions

    @Flag(help: "Show short hashes where register and refresh would show the tokens.")
    var quietTokens = false

    @Flag(help: "End with status 1 as soon as a command fails.")
    var failFast = false

    @Option(help: .init("Wait so long for each answer, 1 to 600 s (default: 20).", valueName: "seconds"))
    var timeout: Int?

    @Option(
        help: .init(
            "The longest first delay before connecting again; it doubles up to 32 times that, 1 to 60000 "
                + "(default: 2000).",
            valueName: "milliseconds"
        )
    )
    var retryBaseMs: Int?

    @Option(
        help: .init("Log to standard error at this level: trace, debug, info, … (default: no log).", valueName: "level")
    )
    var logLevel: String?

    package init() {}

    package func validate() throws {
        try Self.check(self.timeout, 1...600, "--timeout", "seconds")
        try Self.check(self.retryBaseMs, 1...60_000, "--retry-base-ms", "milliseconds")
        if let level = self.logLevel, Logger.Level(rawValue: level) == nil {
            let levels = Logger.Level.allCases.map(\.rawValue).joined(separator: ", ")
            throw ValidationError("--log-level is \"\(sanitized(level, limit: 40))\"; it is one of \(levels)")
        }
        _ = try self.answers()
    }

    package func run() async throws {
        let group = MultiThreadedEventLoopGroup.singleton
        let input = try StandardInput()
        let console = Console(isTerminal: isTerminal)
        let shell = InteractiveShell(
            setup: try self.setup(), lines: input, console: console,
            dialer: TCPDialer(
                CoAPDialer(group: group, logger: self.logger),
                trust: self.tls.trust),
            eventLoop: group.next()
        )
        let status = await withTaskGroup(of: Void.self, returning: Int32.self) { output in
            output.addTask { await console.run(writeToStandardOutput) }
            let status = await Self.untilSignal { await shell.run() }
            console.finish()
            return status
        }
        await input.shutdown()
        if status != 0 {
            throw ExitCode(status)
        }
    }

    /// Runs `body`, cancelling it at Ctrl-C or SIGTERM; that is a good end.
    private static func untilSignal(_ body: @escaping @Sendable () async -> Int32) async -> Int32 {
        await withTaskGroup(of: Int32?.self) { tasks in
            tasks.addTask(operation: body)
            let signals = await UnixSignalsSequence(trapping: .sigint, .sigterm)
            tasks.addTask {
                for await _ in signals {
                    // A connection attempt cannot be called back; nobody should have to wait for one.
                    MultiThreadedEventLoopGroup.singleton.next().scheduleTask(in: .seconds(3)) { Glibc.exit(0) }
                    return nil
                }
                return nil
            }
            let first = await tasks.next() ?? nil
            tasks.cancelAll()
            return first ?? 0
        }
    }

    private var logger: Logger {
        guard let level = self.logLevel.flatMap(Logger.Level.init(rawValue:)) else {
            return Logger(label: "mock-device") { _ in SwiftLogNoOpLogHandler() }
        }
        var logger = Logger(label: "mock-device") { StreamLogHandler.standardError(label: $0) }
        logger.logLevel = level
        return logger
    }

    // MARK: - What was given

    private func setup() throws -> InteractiveShell.Setup {
        var given: Set<Question> = []
        if self.address != nil { given.insert(.address) }
        if self.uid != nil { given.insert(.uid) }
        if self.di != nil { given.insert(.di) }
        if self.accessToken != nil { given.insert(.accessToken) }
        if self.onetimeToken != nil { given.insert(.oneTimeToken) }
        if self.refreshToken != nil { given.insert(.refreshToken) }
        return InteractiveShell.Setup(
            answers: try self.answers(), given: given, stateFile: self.state.map(StateFile.init(path:)),
            showsTokens: !self.quietTokens, failsFast: self.failFast, requestTimeout: .seconds(self.timeout ?? 20),
            retryBase: .milliseconds(self.retryBaseMs ?? 2000), isTerminal: isTerminal
        )
    }

    /// An empty flag stands for the default, as an empty answer does.
    private func answers() throws -> Answers {
        var answers = Answers()
        if let address = self.address { answers.address = address }
        if let uid = self.uid { answers.uid = try Self.id(uid, "--uid") }
        if let di = self.di, !di.isEmpty { answers.di = try Self.id(di, "--di") }
        answers.accessToken = try Self.secret(self.accessToken, .accessToken)
        answers.oneTimeToken = try Self.secret(self.onetimeToken, .oneTimeToken)
        answers.refreshToken = try Self.secret(self.refreshToken, .refreshToken)
        return answers
    }

    private static func address(_ text: String) throws -> ServerAddress {
        do throws(AddressError) {
            return try ServerAddress(parsing: text)
        } catch {
            throw ValidationError(error.description)
        }
    }

    private static func id(_ text: String, _ flag: String) throws -> String {
        guard text.utf8.count <= Dialogue.maximumBytes else {
            throw ValidationError("\(flag) has \(text.utf8.count) bytes; at most \(Dialogue.maximumBytes) are taken")
        }
        return text
    }

    private static func secret(_ text: String?, _ question: Question) throws -> Secret? {
        guard let text, !text.isEmpty else { return nil }
        do throws(AnswerError) {
            return try Dialogue.secret(text, question)
        } catch {
            throw ValidationError(error.description)
        }
    }

    private static func check(
        _ value: Int?, _ range: ClosedRange<Int>, _ flag: String, _ unit: String,
    ) throws {
        guard let value, !range.contains(value) else { return }
        throw ValidationError("\(flag) is \(value); it is \(range.lowerBound) to \(range.upperBound) \(unit)")
    }
}
