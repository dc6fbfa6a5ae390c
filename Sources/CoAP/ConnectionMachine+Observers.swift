import NIOCore

// What the peer observes (RFC 7641 §4, RFC 8323 §7). A GET with Observe 0 whose answer has an Observe option stays
// registered under its token; later answers to it are notifications, until one without the option or with an error.

/// A request of the peer that was answered and stays registered.
struct Observer: Hashable {
    let token: Token
    let noResponse: NoResponse
}

/// Whom to notify, and what waits until the peer reads again: of each registration the newest only.
struct Observers {
    /// The newest request that registers under a token, answered or not.
    private var byToken: [Token: IncomingID] = [:]
    private var registered: [IncomingID: Observer] = [:]
    private var pending: [IncomingID: Response] = [:]
    /// In which order they began to wait; some may not wait any more.
    private var order = CircularBuffer<IncomingID>(initialCapacity: 1)
    private var value: UInt32?

    init(lastValue: UInt32? = nil) {
        self.value = lastValue
    }

    /// Those that ask to be registered included.
    var count: Int { self.byToken.count }

    subscript(id: IncomingID) -> Observer? { self.registered[id] }

    mutating func asked(_ id: IncomingID, token: Token) {
        self.byToken[token] = id
    }

    mutating func register(_ id: IncomingID, _ observer: Observer) {
        self.registered[id] = observer
    }

    mutating func remove(_ id: IncomingID, token: Token) {
        self.registered[id] = nil
        self.pending[id] = nil
        if self.byToken[token] == id {
            self.byToken[token] = nil
        }
    }

    mutating func remove(token: Token) -> IncomingID? {
        guard let id = self.byToken[token] else { return nil }
        self.remove(id, token: token)
        return id
    }

    /// The next Observe value, strictly growing in 24 bits for all of a connection: nobody needs it here (RFC 8323
    /// §7.1), but some libraries look at the order even so (RFC 7641 §3.4). 1 is left out, which means something else
    /// in a request.
    mutating func nextValue() -> UInt32 {
        let next: UInt32 =
            switch self.value {
            case nil, 0xFF_FFFF: 0
            case 0: 2
            case .some(let last): last + 1
            }
        self.value = next
        return next
    }

    func isPending(_ id: IncomingID) -> Bool { self.pending[id] != nil }

    mutating func keep(_ id: IncomingID, _ response: Response) {
        if self.pending.updateValue(response, forKey: id) == nil {
            self.order.append(id)
        }
    }

    mutating func popPending() -> (IncomingID, Response)? {
        while let id = self.order.popFirst() {
            if let response = self.pending.removeValue(forKey: id) { return (id, response) }
        }
        return nil
    }
}

extension ConnectionMachine {
    enum ObserveRequest: Hashable {
        case register
        case cancel
    }

    /// What a request says with its Observe option, which is taken out. It is elective: with another value or method it
    /// counts as not sent (RFC 7252 §5.4.1). Unspecified: also with FETCH, where RFC 8132 §2.4 would allow it.
    func takeObserve(of request: inout Request) -> ObserveRequest? {
        let value = request.options.observe
        request.options.removeAll(.observe)
        guard request.method == .get else { return nil }
        return switch value {
        case 0: .register
        case 1: .cancel
        default: nil
        }
    }

    /// What was registered under this token is not any more: what stands behind it can go. One that waits for its first
    /// answer gets that, and no more.
    mutating func overtake(_ token: Token) -> IncomingID? {
        guard let id = self.observers.remove(token: token) else { return nil }
        guard self.incoming[id] != nil else { return id }
        self.incoming[id]?.registration = .overtaken
        return nil
    }

    /// One more answer to what is registered. The last one goes out at once: there is only one of it.
    mutating func notify(_ id: IncomingID, _ response: Response, isWritable: Bool) -> RespondAction {
        guard let observer = self.observers[id] else { return .nothing }
        guard response.continuesObservation else {
            self.observers.remove(id, token: observer.token)
            guard !observer.noResponse.suppresses(response.code) else { return .nothing }
            return .write([self.answer(response, token: observer.token, isNotification: false)])
        }
        guard !observer.noResponse.suppresses(response.code) else { return .nothing }
        guard isWritable, !self.observers.isPending(id) else {
            self.observers.keep(id, response)
            return .nothing
        }
        return self.notification(id, observer, response)
    }

    private mutating func notification(_ id: IncomingID, _ observer: Observer, _ response: Response) -> RespondAction {
        let message = self.answer(response, token: observer.token, isNotification: true)
        guard message.code.isSuccess else {
            // It became an error that the peer can take, which is the end for it (RFC 7641 §4.2).
            self.observers.remove(id, token: observer.token)
            return .writeUnregistered([message], id)
        }
        return .write([message])
    }

    /// The peer takes bytes again: the next of the notifications that waited, `nothing` once there is none.
    package mutating func nextNotification() -> RespondAction {
        guard self.phase != .closed else { return .nothing }
        while let (id, response) = self.observers.popPending() {
            guard let observer = self.observers[id] else { continue }
            return self.notification(id, observer, response)
        }
        return .nothing
    }
}
