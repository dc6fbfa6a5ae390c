package import NIOCore
import NIOHTTP1
import NIOPosix

/// An answer over HTTP.
package struct HTTPTestAnswer: Sendable {
    package let status: Int
    package let headers: [(name: String, value: String)]
    package let body: ByteBuffer

    package var text: String { String(buffer: self.body) }

    /// The first header of this name.
    package subscript(_ name: String) -> String? {
        self.headers.first { $0.name.lowercased() == name.lowercased() }?.value
    }

    /// The value of a text member of the JSON body, found without a JSON parser of ours: tests read what curl would
    /// show.
    package func member(_ name: String) -> String? {
        let text = self.text
        guard let key = text.range(ofLiteral: "\"\(name)\"") else { return nil }
        let rest = text[key.upperBound...].drop { $0 == ":" || $0 == " " }
        guard rest.first == "\"" else {
            return String(rest.prefix { !",}] \n".contains($0) })
        }
        return String(rest.dropFirst().prefix { $0 != "\"" })
    }
}

extension String {
    fileprivate func range(ofLiteral literal: String) -> Range<String.Index>? {
        var start = self.startIndex
        while start < self.endIndex {
            if self[start...].hasPrefix(literal) {
                return start..<self.index(start, offsetBy: literal.count)
            }
            start = self.index(after: start)
        }
        return nil
    }
}

/// A plain HTTP/1.1 client, one connection a request.
package struct HTTPTestClient: Sendable {
    package let host: String
    package let port: Int

    /// How many seconds an answer may take.
    private let patience: Int64

    package init(host: String = "127.0.0.1", port: Int, patience: Int64 = 40) {
        self.host = host
        self.port = port
        self.patience = patience
    }

    package func request(
        _ method: String, _ path: String, token: String? = nil, headers: [(String, String)] = [], body: String? = nil
    ) async throws -> HTTPTestAnswer {
        try await self.begin(method, path, token: token, headers: headers, body: body).get()
    }

    /// Sends a request; its bytes have left when this returns.
    package func begin(
        _ method: String, _ path: String, token: String? = nil, headers: [(String, String)] = [], body: String? = nil
    ) async throws -> EventLoopFuture<HTTPTestAnswer> {
        let promise = MultiThreadedEventLoopGroup.singleton.any().makePromise(of: HTTPTestAnswer.self)
        let channel: any Channel
        do {
            channel = try await ClientBootstrap(group: MultiThreadedEventLoopGroup.singleton)
                .connectTimeout(.seconds(self.patience))
                .channelInitializer { channel in
                    channel.eventLoop.makeCompletedFuture {
                        try channel.pipeline.syncOperations.addHTTPClientHandlers()
                        try channel.pipeline.syncOperations.addHandler(AnswerHandler(promise: promise))
                    }
                }
                .connect(host: self.host, port: self.port)
                .get()
        } catch {
            promise.fail(error)
            throw error
        }
        var fields = HTTPHeaders([
            ("host", "\(self.host.contains(":") ? "[\(self.host)]" : self.host):\(self.port)"), ("connection", "close"),
        ])
        if let token { fields.add(name: "authorization", value: "Bearer \(token)") }
        for (name, value) in headers { fields.add(name: name, value: value) }
        if let body { fields.replaceOrAdd(name: "content-length", value: "\(body.utf8.count)") }
        let head = HTTPRequestHead(version: .http1_1, method: .init(rawValue: method), uri: path, headers: fields)
        channel.write(HTTPClientRequestPart.head(head), promise: nil)
        if let body {
            channel.write(HTTPClientRequestPart.body(.byteBuffer(ByteBuffer(string: body))), promise: nil)
        }
        let patience = self.patience
        let deadline = channel.eventLoop.scheduleTask(in: .seconds(patience)) {
            promise.fail(PeerError("no answer to \(method) \(path) within \(patience) s"))
        }
        promise.futureResult.whenComplete { _ in
            deadline.cancel()
            channel.close(promise: nil)
        }
        // Who waits for the answer hears of a failure.
        try? await channel.writeAndFlush(HTTPClientRequestPart.end(nil))
        return promise.futureResult
    }

    /// POST with a JSON body.
    package func post(_ path: String, token: String? = nil, _ body: String) async throws -> HTTPTestAnswer {
        try await self.request(
            "POST", path, token: token, headers: [("content-type", "application/json")], body: body)
    }

    package func get(_ path: String, token: String? = nil) async throws -> HTTPTestAnswer {
        try await self.request("GET", path, token: token)
    }
}

private final class AnswerHandler: ChannelInboundHandler {
    typealias InboundIn = HTTPClientResponsePart

    private let promise: EventLoopPromise<HTTPTestAnswer>
    private var head: HTTPResponseHead?
    private var body = ByteBuffer()
    private var isDone = false

    init(promise: EventLoopPromise<HTTPTestAnswer>) {
        self.promise = promise
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        switch self.unwrapInboundIn(data) {
        case .head(let head):
            self.head = head
        case .body(var part):
            self.body.writeBuffer(&part)
        case .end:
            guard let head = self.head else { return }
            self.isDone = true
            self.promise.succeed(
                HTTPTestAnswer(
                    status: Int(head.status.code), headers: head.headers.map { ($0.name, $0.value) }, body: self.body))
        }
    }

    func channelInactive(context: ChannelHandlerContext) {
        if !self.isDone { self.promise.fail(PeerError("the HTTP connection was closed before the answer")) }
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        self.promise.fail(error)
        context.close(promise: nil)
    }
}
