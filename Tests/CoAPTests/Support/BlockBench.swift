import CoAP
import NIOCore
import Testing

extension PeerSettings {
    /// What is known of a peer whose CSM said this.
    static func said(_ maxMessageSize: UInt64, blockWise: Bool = true) -> PeerSettings {
        let conversation = Conversation()
        var message = Message.csm(maxMessageSize: maxMessageSize)
        if blockWise { message.options.append(OptionNumber(rawValue: 4)) }
        _ = conversation.receive(message)
        return conversation.peer
    }

    /// Block-wise with blocks of at most 1024 bytes.
    static let plain = PeerSettings.said(1152)
    /// With BERT.
    static let bert = PeerSettings.said(64 << 10)
}

/// Bytes that are all different in every window of some length, so that a wrong offset shows.
func body(_ count: Int) -> ByteBuffer {
    ByteBuffer(bytes: (0..<count).map { UInt8(truncatingIfNeeded: $0 &* 31 ^ $0 >> 8) })
}

extension Request {
    func block1(_ number: Int, more: Bool, _ exponent: UInt8, _ payload: ByteBuffer?) -> Request {
        var request = self
        request.options.block1 = BlockOption(number: number, more: more, sizeExponent: exponent)
        request.payload = payload
        return request
    }

    func block2(_ number: Int, _ exponent: UInt8) -> Request {
        var request = self
        request.options.block2 = BlockOption(number: number, more: false, sizeExponent: exponent)
        return request
    }

    func tagged(_ tag: UInt8) -> Request {
        var request = self
        request.options.append(.requestTag, bytes: [tag])
        return request
    }
}

/// A server of blocks and what its peer does. Time stands still unless it is told to pass.
final class ServerBench {
    private(set) var server: BlockServer
    var peer: PeerSettings
    private(set) var now = NIODeadline.uptimeNanoseconds(1_000_000_000_000)
    private var lastID: UInt64 = 0
    var lastIncoming: IncomingID { IncomingID(rawValue: self.lastID) }

    init(_ configuration: ConnectionConfiguration = .quiet, peer: PeerSettings = .plain) {
        self.server = BlockServer(BlockSettings(configuration))
        self.peer = peer
    }

    static func limited(_ bodyBytes: Int, _ change: (inout BlockLimits) -> Void = { _ in }) -> ConnectionConfiguration {
        var limits = BlockLimits(bodyBytes: bodyBytes)
        change(&limits)
        return ConnectionConfiguration(keepalive: nil, blocks: limits)
    }

    func receive(_ request: Request) -> BlockRequestAction {
        self.lastID += 1
        return self.server.received(request, id: self.lastIncoming, peer: self.peer, now: self.now)
    }

    /// The request that has to reach whoever answers, and its id.
    func handled(_ request: Request) throws -> (id: IncomingID, request: Request) {
        let action = self.receive(request)
        guard case .handle(let whole) = action else { throw Unexpected(action) }
        return (self.lastIncoming, whole)
    }

    func answered(_ request: Request) throws -> Response {
        let action = self.receive(request)
        guard case .answer(let response) = action else { throw Unexpected(action) }
        return response
    }

    func answer(_ id: IncomingID, _ response: Response) -> Response {
        self.server.answering(id, response, peer: self.peer, now: self.now)
    }

    /// Asks, and has it answered with this body: the first block.
    func first(_ request: Request, _ payload: ByteBuffer, code: Code = .content) throws -> Response {
        let id = try self.handled(request).id
        return self.answer(id, Response(code, payload: payload))
    }

    func pass(_ time: TimeAmount) {
        self.now = self.now + time
        self.server.expire(now: self.now)
    }

    func forget(_ id: IncomingID) { self.server.forget(id) }
    func close() { self.server.closed() }
}

/// One request of ours and what its peer answers.
struct ExchangeBench: ~Copyable {
    private var exchange: BlockExchange
    var peer: PeerSettings
    var now = NIODeadline.uptimeNanoseconds(1_000_000_000_000)

    init(_ request: Request, _ configuration: ConnectionConfiguration = .quiet, peer: PeerSettings = .plain) {
        self.exchange = BlockExchange(
            request, deadline: self.now + .seconds(20), tag: 7, settings: BlockSettings(configuration))
        self.peer = peer
    }

    mutating func begin() -> Request { self.exchange.begin(peer: self.peer, now: self.now) }

    mutating func answer(_ response: Response) -> BlockExchangeAction {
        self.exchange.answered(response, peer: self.peer, now: self.now)
    }

    mutating func answer(
        _ code: Code, block1: BlockOption? = nil, block2: BlockOption? = nil, eTag: [UInt8]? = nil,
        payload: ByteBuffer? = nil
    ) -> BlockExchangeAction {
        var response = Response(code, payload: payload)
        response.options.block1 = block1
        response.options.block2 = block2
        if let eTag { response.options.append(.eTag, bytes: eTag) }
        return self.answer(response)
    }

    func fail(_ failure: ExchangeFailure, delivered: Bool) -> ExchangeError {
        self.exchange.failed(ExchangeError(failure, delivered: delivered))
    }
}

extension BlockExchangeAction {
    func sent() throws -> Request {
        guard case .send(let request) = self else { throw Unexpected(self) }
        return request
    }

    func completed() throws -> Response {
        guard case .complete(let response) = self else { throw Unexpected(self) }
        return response
    }

    /// It ended without a usable answer.
    func broken() throws {
        guard case .fail(let error) = self, case .unusableResponse(.brokenBody) = error.failure, error.delivered else {
            throw Unexpected(self)
        }
    }
}

extension BlockOption {
    init(_ number: Int, _ more: Bool, _ exponent: UInt8) {
        self.init(number: number, more: more, sizeExponent: exponent)
    }
}
