import CoAP
import NIOCore

// What we observe: whoever is told sees whole bodies only (RFC 7959 §2.6). A notification that comes as a first block
// is told once the rest of it was fetched, by requests of their own. One that comes meanwhile is newer: if it is whole,
// it is told at once and the old one never; else it waits, in the place of any other that does. Where the rest cannot
// be had and nothing newer waits, the observation fails, since whoever observes would take what is old for what is.

extension ConnectionHandler {
    /// Something came for an observation: an answer, or why there will be none.
    func told(_ id: ExchangeID, _ result: Result<ObservationEvent, ExchangeError>) {
        guard let observed = self.observations[id] else { return }
        let event: ObservationEvent
        switch result {
        case .failure: return self.tell(id, observed, result)
        case .success(let told): event = told
        }
        guard event.response.options.block2 != nil else { return self.tell(id, observed, result) }
        let fetch = ObservationFetch(id, event, of: observed, self.blocks)
        switch fetch.machine.answered(event.response, peer: self.machine.peer, now: .now()) {
        case .complete(let whole): self.tell(id, observed, .success(fetch.event(with: whole)))
        case .fail(let error): self.give(up: id, observed, error)
        case .send(let part):
            fetch.part = part
            observed.next = fetch
            if observed.current == nil, !observed.isQueued {
                observed.isQueued = true
                self.fetches.waiting.append(id)
            }
            self.startFetching()
        }
    }

    /// What comes of it is of no interest any more.
    func stopFetching(for id: ExchangeID, _ observed: Observed) {
        observed.current = nil
        observed.next = nil
        guard observed.isQueued else { return }
        observed.isQueued = false
        self.fetches.waiting.removeAll { $0 == id }
    }

    private func tell(_ id: ExchangeID, _ observed: Observed, _ result: Result<ObservationEvent, ExchangeError>) {
        self.stopFetching(for: id, observed)
        if case .success(.notified) = result {} else { self.observations[id] = nil }
        observed.event(result)
    }

    /// It ends, because what it is at cannot be told.
    private func give(up id: ExchangeID, _ observed: Observed, _ error: ExchangeError) {
        self.cancel(id)
        observed.event(.failure(error))
    }

    // MARK: The rest of a notification

    private func startFetching() {
        // One that fails at once makes room for the next: in this loop, or they would lie on the stack in a row.
        guard !self.fetches.isStarting else { return }
        self.fetches.isStarting = true
        defer { self.fetches.isStarting = false }
        while self.fetches.running < self.blocks.settings.fetches, let id = self.fetches.waiting.popFirst() {
            guard let observed = self.observations[id] else { continue }
            observed.isQueued = false
            guard let fetch = observed.next, let part = fetch.part else { continue }
            observed.next = nil
            observed.current = fetch
            fetch.part = nil
            self.fetches.running += 1
            self.send(part, of: fetch)
        }
    }

    private func send(_ part: Request, of fetch: ObservationFetch) {
        guard let eventLoop = self.context?.eventLoop else {
            return self.fetched(fetch, .failure(ExchangeError(.closing, delivered: false)))
        }
        let bound = NIOLoopBound((self, fetch), eventLoop: eventLoop)
        self.send(part, deadline: fetch.deadline) { result in
            let (handler, fetch) = bound.value
            handler.fetched(fetch, result)
        }
    }

    /// The request sent last has its answer, or will have none.
    private func fetched(_ fetch: ObservationFetch, _ result: Result<Response, ExchangeError>) {
        // Nobody may want it any more.
        guard let observed = self.observations[fetch.id], observed.current === fetch else {
            return self.leave(fetch)
        }
        let action: BlockExchangeAction
        switch result {
        case .success(let response):
            action = fetch.machine.answered(response, peer: self.machine.peer, now: .now())
        case .failure(let error):
            action = .fail(fetch.machine.failed(error))
        }
        switch action {
        case .send(let part): return self.send(part, of: fetch)
        case .complete(let whole): self.complete(fetch, observed, whole)
        case .fail where observed.next != nil && self.end == nil: observed.current = nil
        case .fail(let error): self.give(up: fetch.id, observed, error)
        }
        self.leave(fetch)
    }

    private func complete(_ fetch: ObservationFetch, _ observed: Observed, _ whole: Response) {
        observed.current = nil
        let event = fetch.event(with: whole)
        if case .ended = event { self.cancel(fetch.id) }
        observed.event(.success(event))
    }

    /// Its place is free.
    private func leave(_ fetch: ObservationFetch) {
        self.fetches.running -= 1
        if let observed = self.observations[fetch.id], observed.current == nil, observed.next != nil,
            !observed.isQueued
        {
            observed.isQueued = true
            self.fetches.waiting.append(fetch.id)
        }
        self.startFetching()
    }
}

/// One observation of ours and who is told.
final class Observed {
    /// As the rest of a notification is asked for, which registers nothing.
    let request: Request
    /// How long the rest of a notification may take: as long as the first answer.
    let span: TimeAmount
    let event: ConnectionHandler.Observation
    var current: ObservationFetch?
    /// Waits for its turn.
    var next: ObservationFetch?
    var isQueued = false

    init(_ request: Request, span: TimeAmount, event: @escaping ConnectionHandler.Observation) {
        var request = request
        request.options.observe = nil
        self.request = request
        self.span = span
        self.event = event
    }
}

/// A notification that came as a first block.
final class ObservationFetch {
    let id: ExchangeID
    let deadline: NIODeadline
    var machine: BlockExchange
    /// What to send first.
    var part: Request?
    private let isLast: Bool
    private let observe: UInt32?

    init(_ id: ExchangeID, _ event: ObservationEvent, of observed: Observed, _ blocks: Blocks) {
        self.id = id
        self.deadline = .now() + observed.span
        self.machine = BlockExchange(
            observed.request, deadline: self.deadline, tag: blocks.makeTag(), settings: blocks.settings)
        if case .ended = event { self.isLast = true } else { self.isLast = false }
        self.observe = event.response.options.observe
    }

    /// An error in its place ends the observation (RFC 7641 §4.2).
    func event(with whole: Response) -> ObservationEvent {
        guard !self.isLast, whole.code.isSuccess else { return .ended(whole) }
        var whole = whole
        whole.options.observe = self.observe
        return .notified(whole)
    }
}

/// How many notifications are being fetched, and the observations that wait to.
struct ObservationFetches {
    var running = 0
    /// Each once.
    var waiting = CircularBuffer<ExchangeID>(initialCapacity: 1)
    var isStarting = false
}

extension ObservationEvent {
    fileprivate var response: Response {
        switch self {
        case .notified(let response), .ended(let response): response
        }
    }
}
