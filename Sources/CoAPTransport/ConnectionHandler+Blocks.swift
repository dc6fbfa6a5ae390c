import CoAP
import NIOCore

// Block-wise transfers: what stands in front of us and behind us sees whole bodies (RFC 7959, RFC 8323 §6).

extension ConnectionHandler {
    // MARK: Requests of the peer

    /// A request came in: it goes to the delegate if it is whole.
    func receive(_ request: Request, id: IncomingID) {
        guard self.blocks.isAllowed || !request.options.hasBlocks else {
            return self.refuse(id, Response(.badOption, diagnostic: "block-wise transfers are not for strangers"))
        }
        switch self.blocks.server.received(request, id: id, peer: self.machine.peer, now: .now()) {
        case .handle(let whole):
            self.delegate.connectionReceived(whole, id: id)
        case .answer(let response) where response.code.isSuccess:
            self.respond(to: id, with: response)
        case .answer(let response):
            self.refuse(id, response)
        }
        self.scheduleBlocks()
    }

    private func refuse(_ id: IncomingID, _ response: Response) {
        self.respond(to: id, with: response)
        // The answer may have been the last thing the connection waited for.
        if !self.hasToldDelegate { self.delegate.connectionRefused(with: response.code) }
    }

    /// The delegate's answer, or the block of it that goes out now.
    func answer(_ id: IncomingID, with response: Response) {
        let part = self.blocks.server.answering(id, response, peer: self.machine.peer, now: .now())
        self.scheduleBlocks()
        self.respond(to: id, with: part)
    }

    private func scheduleBlocks() {
        guard self.end == nil, let context = self.context else { return }
        self.blocks.schedule(on: context.eventLoop)
    }

    // MARK: Requests of ours

    /// Sends a request, in as many messages as it takes, and completes with the whole answer.
    func exchange(_ request: Request, deadline: NIODeadline, completion: @escaping Completion) {
        let exchange = WholeExchange(
            BlockExchange(request, deadline: deadline, tag: self.blocks.makeTag(), settings: self.blocks.settings),
            deadline: deadline, completion: completion)
        self.send(exchange.machine.begin(peer: self.machine.peer, now: .now()), of: exchange)
    }

    private func send(_ part: Request, of exchange: WholeExchange) {
        guard let eventLoop = self.context?.eventLoop else {
            return self.ended(.failure(ExchangeError(.closing, delivered: false)), exchange)
        }
        let bound = NIOLoopBound((self, exchange), eventLoop: eventLoop)
        self.send(part, deadline: exchange.deadline) { result in
            let (handler, exchange) = bound.value
            handler.ended(result, exchange)
        }
    }

    /// The message sent last has its answer, or will have none.
    private func ended(_ result: Result<Response, ExchangeError>, _ exchange: WholeExchange) {
        switch result {
        case .success(let response):
            self.perform(exchange.machine.answered(response, peer: self.machine.peer, now: .now()), of: exchange)
        case .failure(let error):
            exchange.completion(.failure(exchange.machine.failed(error)))
        }
    }

    private func perform(_ action: BlockExchangeAction, of exchange: WholeExchange) {
        switch action {
        case .send(let part): self.send(part, of: exchange)
        case .complete(let response): exchange.completion(.success(response))
        case .fail(let error): exchange.completion(.failure(error))
        }
    }
}

/// A request of ours and who waits for its end.
private final class WholeExchange {
    var machine: BlockExchange
    let deadline: NIODeadline
    let completion: ConnectionHandler.Completion

    init(
        _ machine: consuming BlockExchange, deadline: NIODeadline, completion: @escaping ConnectionHandler.Completion
    ) {
        self.machine = machine
        self.deadline = deadline
        self.completion = completion
    }
}

extension Options {
    fileprivate var hasBlocks: Bool { self.contains { $0.number == .block1 || $0.number == .block2 } }
}
