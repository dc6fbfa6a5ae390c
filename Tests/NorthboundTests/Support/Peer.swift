import NIOCore
import NIOPosix

/// One TCP connection to the server under test, as bytes.
struct Peer {
    private var inbound: NIOAsyncChannelInboundStream<ByteBuffer>.AsyncIterator
    private let outbound: NIOAsyncChannelOutboundWriter<ByteBuffer>
    private var received: [UInt8] = []
    private var stream = ""
    private let channel: any Channel

    /// An answer as it came.
    struct Answer {
        var status: Int
        /// Names in lower case.
        var fields: [String: String]
        var body: String
    }

    struct Ended: Error {}

    /// Connects, runs `body`, closes.
    static func connect<Value: Sendable>(
        _ port: Int, _ body: (inout Peer) async throws -> Value
    ) async throws -> Value {
        let client = try await ClientBootstrap(group: .singletonMultiThreadedEventLoopGroup)
            .channelOption(.allowRemoteHalfClosure, value: true)
            .connect(host: "127.0.0.1", port: port) { channel in
                channel.eventLoop.makeCompletedFuture {
                    try NIOAsyncChannel<ByteBuffer, ByteBuffer>(
                        wrappingChannelSynchronously: channel, configuration: .init(isOutboundHalfClosureEnabled: true))
                }
            }
        return try await client.executeThenClose { inbound, outbound in
            var peer = Peer(inbound: inbound.makeAsyncIterator(), outbound: outbound, channel: client.channel)
            return try await body(&peer)
        }
    }

    private init(
        inbound: NIOAsyncChannelInboundStream<ByteBuffer>.AsyncIterator,
        outbound: NIOAsyncChannelOutboundWriter<ByteBuffer>,
        channel: any Channel,
    ) {
        self.inbound = inbound
        self.outbound = outbound
        self.channel = channel
    }

    func send(_ text: String) async throws {
        try await self.outbound.write(ByteBuffer(string: text))
    }

    /// Sends as far as the other side takes it: it may answer and close before the end.
    func trySend(_ text: String) async {
        try? await self.outbound.write(ByteBuffer(string: text))
    }

    /// Ends our half of the connection.
    func finishSending() {
        self.outbound.finish()
    }

    /// A whole request with a Host and, if there is one, the length of its body.
    mutating func request(
        _ method: String, _ target: String, _ fields: [String] = [], body: String = ""
    ) async throws -> Answer {
        var lines = ["\(method) \(target) HTTP/1.1", "Host: test"] + fields
        if !body.isEmpty { lines.append("Content-Length: \(body.utf8.count)") }
        try await self.send(lines.joined(separator: "\r\n") + "\r\n\r\n" + body)
        return try await self.answer(hasBody: method != "HEAD")
    }

    /// Reads one answer.
    /// - Throws: `Ended` when the connection ends first.
    mutating func answer(hasBody: Bool = true) async throws -> Answer {
        while self.received.blankLine == nil { try await self.more() }
        let end = self.received.blankLine ?? 0
        let lines = String(decoding: self.received[..<end], as: UTF8.self).split(separator: "\r\n")
        self.received.removeFirst(end + 4)
        var fields: [String: String] = [:]
        for line in lines.dropFirst() {
            let pair = line.split(separator: ":", maxSplits: 1)
            fields[pair[0].lowercased()] = String(pair[1].drop { $0 == " " })
        }
        let status = lines[0].split(separator: " ").dropFirst().first.flatMap { Int($0) } ?? 0
        let count = hasBody ? fields["content-length"].flatMap { Int($0) } ?? 0 : 0
        while self.received.count < count { try await self.more() }
        let body = String(decoding: self.received.prefix(count), as: UTF8.self)
        self.received.removeFirst(count)
        return Answer(status: status, fields: fields, body: body)
    }

    /// The next event of a stream, by field; comments are passed over.
    /// - Throws: `Ended` when the stream or the connection ends first.
    mutating func event() async throws -> [String: String] {
        while true {
            while !self.stream.contains("\n\n") { self.stream += try await self.chunk() }
            let parts = self.stream.split(separator: "\n\n", maxSplits: 1, omittingEmptySubsequences: false)
            self.stream = String(parts[1])
            var fields: [String: String] = [:]
            for line in parts[0].split(separator: "\n") where !line.hasPrefix(":") {
                let pair = line.split(separator: ":", maxSplits: 1).map(String.init)
                fields[pair[0], default: ""] += pair[1].dropFirst()
            }
            if fields["event"] != nil { return fields }
        }
    }

    /// The next piece of a body of unknown length (RFC 9112 §7.1).
    private mutating func chunk() async throws -> String {
        while !self.received.contains(10) { try await self.more() }
        let line = self.received.prefix { $0 != 13 }
        let count = Int(String(decoding: line, as: UTF8.self), radix: 16) ?? 0
        guard count > 0 else {
            while self.received.count < line.count + 4 { try await self.more() }
            self.received.removeFirst(line.count + 4)
            throw Ended()
        }
        while self.received.count < line.count + 2 + count + 2 { try await self.more() }
        let text = String(decoding: self.received[(line.count + 2)..<(line.count + 2 + count)], as: UTF8.self)
        self.received.removeFirst(line.count + 2 + count + 2)
        return text
    }

    /// What comes until the other side closes.
    mutating func rest() async throws -> String {
        do {
            while true { try await self.more() }
        } catch is Ended {
            return String(decoding: self.received, as: UTF8.self)
        }
    }

    private mutating func more() async throws {
        guard let bytes = try await self.inbound.next() else { throw Ended() }
        self.received += Array(bytes.readableBytesView)
    }
}

extension [UInt8] {
    /// Where the blank line that ends a header begins.
    fileprivate var blankLine: Int? {
        self.indices.dropLast(3).first { self[$0..<$0 + 4].elementsEqual([13, 10, 13, 10]) }
    }
}
