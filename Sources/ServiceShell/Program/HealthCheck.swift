import FoundationEssentials
import NIOCore
import NIOPosix

/// What `--health` does: asks the admin port of the server that runs with the same settings whether it is well. A
/// container's health check, which then needs no shell and no other program.
package struct HealthCheck: Sendable {
    /// Which page is asked.
    package enum Page: String, CaseIterable, Sendable {
        /// Whether it can serve.
        case ready
        /// Whether it runs.
        case live

        var path: String {
            switch self {
            case .ready: "/readyz"
            case .live: "/livez"
            }
        }
    }

    package struct Result: Hashable, Sendable {
        package let isHealthy: Bool
        /// One line for people.
        package let line: String
    }

    /// How long the answer may take.
    static let patience = TimeAmount.milliseconds(1800)
    /// The largest answer that is read, in bytes.
    static let answerLimit = 16 * 1024

    private let program: String
    private let page: Page
    private let host: String
    private let port: Int

    /// Reads where the admin port is. Other settings may be wrong or missing.
    /// - Throws: what is wrong with those that say it.
    package init(
        page: Page, program: ProgramDescription, arguments: ProgramArguments, environment: [String: String],
        old: OldNames
    ) throws(ConfigurationError) {
        var reader = program.reader(arguments: arguments, environment: environment, old: old)
        reader.forgetProblems()
        let settings = ProcessSettings(&reader)
        self.program = program.name
        self.page = page
        self.host = Self.dialled(settings.bindAddress)
        if settings.adminPort != 0 {
            self.port = settings.adminPort
        } else {
            let port = settings.portsFile.isEmpty ? nil : PortsFile.read(settings.portsFile)["admin"]
            if port == nil { reader.reject("ADMIN_PORT: 0 takes any port; --health finds it by PORTS_FILE alone") }
            self.port = port ?? 0
        }
        try reader.finish()
    }

    init(page: Page, program: String, host: String, port: Int) {
        self.program = program
        self.page = page
        self.host = host
        self.port = port
    }

    /// Where somebody on this machine reaches what is bound to an address.
    static func dialled(_ bound: String) -> String {
        switch bound {
        case "0.0.0.0", "localhost": "127.0.0.1"
        case "::": "::1"
        default: bound
        }
    }

    /// Asks once. Never takes longer than 2 s.
    package func run() async -> Result {
        let place = "\(bracketed(self.host)):\(self.port)\(self.page.path)"
        let answer: String
        do {
            answer = try await self.ask()
        } catch {
            return Result(isHealthy: false, line: "\(self.program): \(place) did not answer: \(Self.reason(error))")
        }
        let status = answer.split(separator: " ", maxSplits: 2).dropFirst().first ?? ""
        let body = answer.firstRange(of: "\r\n\r\n").map { answer[$0.upperBound...] } ?? ""
        let words = body.split(separator: "\n").joined(separator: "; ")
        let said = LogText.escaped(words.isEmpty ? "\(status)" : words)
        return Result(isHealthy: status == "200", line: "\(self.program): \(said)")
    }

    private func ask() async throws -> String {
        let group = MultiThreadedEventLoopGroup.singleton
        let path = self.page.path
        let answer = group.any().makePromise(of: String.self)
        let deadline = answer.futureResult.eventLoop.scheduleTask(in: Self.patience) {
            answer.fail(ChannelError.connectTimeout(Self.patience))
        }
        ClientBootstrap(group: group)
            .connectTimeout(Self.patience)
            .channelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    try channel.pipeline.syncOperations.addHandler(AnswerCollector(path: path, answer: answer))
                }
            }
            .connect(host: self.host, port: self.port)
            .whenFailure { answer.fail($0) }
        defer { deadline.cancel() }
        return try await answer.futureResult.get()
    }

    private static func reason(_ error: any Error) -> String {
        switch error {
        case ChannelError.connectTimeout: "too late"
        case is NIOConnectionError: "nobody listens there"
        default: LogText.escaped("\(error)")
        }
    }
}

/// Sends one request and reads until the server closes.
private final class AnswerCollector: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer
    typealias OutboundOut = ByteBuffer

    private let path: String
    private let answer: EventLoopPromise<String>
    private var read = ByteBuffer()

    init(path: String, answer: EventLoopPromise<String>) {
        self.path = path
        self.answer = answer
    }

    func channelActive(context: ChannelHandlerContext) {
        let request = ByteBuffer(string: "GET \(self.path) HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n")
        context.writeAndFlush(self.wrapOutboundOut(request), promise: nil)
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        var part = self.unwrapInboundIn(data)
        self.read.writeBuffer(&part)
        if self.read.readableBytes > HealthCheck.answerLimit { context.close(promise: nil) }
    }

    func channelInactive(context: ChannelHandlerContext) {
        self.answer.succeed(String(buffer: self.read))
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        self.answer.fail(error)
        context.close(promise: nil)
    }
}
