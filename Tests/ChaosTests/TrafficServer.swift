import NIOCore
import NIOHTTP1
import NIOPosix
import Synchronization

/// A server that does as a test says, on a free port of this machine.
final class TrafficServer: Sendable {
    /// What it was asked, and where.
    struct Question: Sendable {
        /// The connection, and which question on it, both from 1.
        let connection: Int
        let number: Int
        let method: HTTPMethod
        let path: String
        let token: String?
        let body: String

        var isDevices: Bool { self.path.hasPrefix("/devices") }
        var mark: Int? {
            let text = self.method == .POST ? self.body : self.path
            let name = self.method == .POST ? "\"n\":" : "?n="
            guard let range = text.firstRange(of: name) else { return nil }
            return Int(text[range.upperBound...].prefix { $0.isNumber })
        }
    }

    enum Reaction: Sendable {
        case answer(String, status: Int = 200, headers: [(String, String)] = [], after: TimeAmount = .zero)
        /// Answers, says nothing of closing, and closes.
        case answerAndClose(String)
        /// Answers, and takes no connection any more.
        case answerLast(String)
        case close
        /// These bytes as they are, then closes.
        case cut(String)
        case nothing
    }

    struct Seen: Sendable {
        var connections = 0
        var open = 0
        var questions: [Question] = []
    }

    let port: Int
    private let box: SeenBox

    private init(port: Int, _ box: SeenBox) {
        self.port = port
        self.box = box
    }

    var seen: Seen { self.box.seen.withLock { $0 } }

    static func with<R: Sendable>(
        _ react: @escaping @Sendable (Question) -> Reaction, _ body: (TrafficServer) async throws -> R
    ) async throws -> R {
        let box = SeenBox()
        let channel = try await ServerBootstrap(group: MultiThreadedEventLoopGroup.singleton)
            .serverChannelOption(.socketOption(.so_reuseaddr), value: 1)
            .childChannelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    try channel.pipeline.syncOperations.configureHTTPServerPipeline(withPipeliningAssistance: false)
                    try channel.pipeline.syncOperations.addHandler(Handler(box, react))
                }
            }
            .bind(host: "127.0.0.1", port: 0).get()
        let server = TrafficServer(port: channel.localAddress?.port ?? 0, box)
        do {
            let result = try await body(server)
            // A test may have closed it.
            try? await channel.close().get()
            return result
        } catch {
            try? await channel.close().get()
            throw error
        }
    }

    private final class SeenBox: Sendable {
        let seen = Mutex(Seen())
    }

    private final class Handler: ChannelInboundHandler {
        typealias InboundIn = HTTPServerRequestPart
        typealias OutboundOut = HTTPServerResponsePart

        private let box: SeenBox
        private let react: @Sendable (Question) -> Reaction
        private var connection = 0
        private var number = 0
        private var head: HTTPRequestHead?
        private var body = ""

        init(_ box: SeenBox, _ react: @escaping @Sendable (Question) -> Reaction) {
            self.box = box
            self.react = react
        }

        func channelActive(context: ChannelHandlerContext) {
            self.connection = self.box.seen.withLock { seen in
                seen.connections += 1
                seen.open += 1
                return seen.connections
            }
        }

        func channelInactive(context: ChannelHandlerContext) {
            self.box.seen.withLock { $0.open -= 1 }
        }

        func channelRead(context: ChannelHandlerContext, data: NIOAny) {
            switch self.unwrapInboundIn(data) {
            case .head(let head):
                self.head = head
                self.body = ""
            case .body(let part): self.body += String(buffer: part)
            case .end:
                guard let head = self.head else { return }
                self.number += 1
                let question = Question(
                    connection: self.connection, number: self.number, method: head.method, path: head.uri,
                    token: head.headers.first(name: "authorization"), body: self.body)
                self.box.seen.withLock { $0.questions.append(question) }
                self.obey(self.react(question), context)
            }
        }

        private func obey(_ reaction: Reaction, _ context: ChannelHandlerContext) {
            switch reaction {
            case .answer(let text, let status, let headers, let delay):
                guard delay > .zero else { return self.answer(text, status, headers, context) }
                let bound = NIOLoopBound((self, context), eventLoop: context.eventLoop)
                context.eventLoop.scheduleTask(in: delay) {
                    bound.value.0.answer(text, status, headers, bound.value.1)
                }
            case .answerAndClose(let text):
                self.answer(text, 200, [], context)
                context.close(promise: nil)
            case .answerLast(let text):
                let parent = context.channel.parent
                let bound = NIOLoopBound((self, context), eventLoop: context.eventLoop)
                parent?.close().hop(to: context.eventLoop).whenComplete { _ in
                    bound.value.0.answer(text, 200, [], bound.value.1)
                }
            case .close: context.close(promise: nil)
            case .cut(let text):
                // Around the encoder: no whole head may come of it.
                let bytes = ByteBuffer(string: text)
                context.channel.pipeline.context(handlerType: HTTPResponseEncoder.self).assumeIsolated()
                    .whenSuccess { encoder in
                        encoder.writeAndFlush(NIOAny(bytes), promise: nil)
                        encoder.close(promise: nil)
                    }
            case .nothing: break
            }
        }

        private func answer(
            _ text: String, _ status: Int, _ headers: [(String, String)], _ context: ChannelHandlerContext
        ) {
            guard context.channel.isActive else { return }
            let bytes = ByteBuffer(string: text)
            var fields = HTTPHeaders(headers)
            fields.add(name: "content-length", value: "\(bytes.readableBytes)")
            if !fields.contains(name: "content-type") { fields.add(name: "content-type", value: "application/json") }
            let head = HTTPResponseHead(version: .http1_1, status: .init(statusCode: status), headers: fields)
            context.write(self.wrapOutboundOut(.head(head)), promise: nil)
            context.write(self.wrapOutboundOut(.body(.byteBuffer(bytes))), promise: nil)
            context.writeAndFlush(self.wrapOutboundOut(.end(nil)), promise: nil)
        }
    }
}
