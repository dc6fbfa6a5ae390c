import CoAP
import NIOCore

/// One CoAP connection (RFC 8323): the input is a list of events, among them messages of the peer, made to fit what
/// went before or taken from the input as they stand.
enum ConnectionMachineTarget {
    static func check(_ input: ByteBuffer) {
        var drive = ConnectionDrive(InputReader(input))
        drive.run()
    }
}

/// Lets a machine go through the events of an input, and does what it says. The books are kept by `ConnectionBooks`.
struct ConnectionDrive: ~Copyable {
    private static let maximumSteps = 400

    private var input: InputReader
    private var machine: ConnectionMachine
    private var books: ConnectionBooks
    private var now = NIODeadline.uptimeNanoseconds(1_000_000_000_000)

    init(_ input: InputReader) {
        self.input = input
        let configuration = Self.configuration(&self.input)
        self.machine = ConnectionMachine(
            configuration: configuration, tokenSeed: self.input.flag() ? .max - 3 : 0x1122, now: self.now)
        self.books = ConnectionBooks(configuration)
        if let csm = self.machine.open() { self.books.wrote(csm, self.machine.peer) }
    }

    private static func configuration(_ input: inout InputReader) -> ConnectionConfiguration {
        var omissions = ConnectionConfiguration.Omissions()
        let choice = input.byte()
        if choice & 8 == 8 { omissions = .init(rawValue: input.byte() & 0b111) }
        return ConnectionConfiguration(
            limits: FrameLimits(maximumTokenLength: choice & 16 == 16 ? 300 : 8),
            isStrict: choice & 1 == 1,
            keepalive: choice & 2 == 2 ? .init(time: .seconds(30), interval: .seconds(5), retry: 2) : nil,
            maximumInFlight: input.number(1...4),
            maximumQueued: input.number(0...6),
            maximumQueuedBytes: input.number(0...400),
            maximumIncoming: input.number(1...4),
            maximumObservations: input.number(1...4),
            maximumObservers: input.number(0...3),
            maximumHeldPongs: input.number(0...3),
            isInternal: choice & 4 == 4,
            omissions: omissions)
    }

    mutating func run() {
        for _ in 0..<Self.maximumSteps where !self.input.isEmpty && !self.books.isOver {
            self.step()
            self.books.check(
                isClosed: self.machine.isClosed, hasDeadline: self.machine.nextDeadline != nil,
                unwritten: self.machine.unwritten)
        }
        self.end()
        self.books.checkEnd()
        // After the end nothing comes out any more.
        require(self.machine.deadlineReached(now: self.now) == .wait(until: nil), "something is due behind the end")
        require(self.machine.closed().isEmpty, "a request ended behind the end")
        require(self.machine.nextNotification() == .nothing, "somebody is notified behind the end")
        require(self.machine.ping() == nil && self.machine.abort(diagnostic: "") == nil, "we speak behind the end")
    }

    private mutating func step() {
        switch self.input.number(0...15) {
        case 0: self.send()
        case 1: self.observe()
        case 2: self.cancel()
        case 3, 4: self.receive(self.response())
        case 5, 6: self.receive(self.request())
        case 7: self.receive(self.signal())
        case 8: self.receiveFrame()
        case 9, 10: self.respond()
        case 11: self.passTime()
        case 12: if let id = self.books.takeUnwritten(&self.input) { self.machine.written(id) }
        case 13: for id in self.machine.withdrawQueued() { self.books.completed(id) }
        case 14:
            guard let action = self.machine.release(holdOffSeconds: 1, now: self.now) else { return }
            self.books.wrote(action.message, self.machine.peer)
            for id in action.unsent { self.books.completed(id) }
        default:
            if let ping = self.machine.ping() { self.books.wrote(ping, self.machine.peer) }
        }
    }

    private mutating func end() {
        self.books.end(self.machine.closed())
    }

    // MARK: What we do

    private mutating func deadline() -> NIODeadline {
        self.now + .milliseconds(Int64(self.input.number(0...255)) * 100 - 100)
    }

    private mutating func send() {
        let request = Request(
            [.get, .post, .delete][self.input.number(0...2)], path: ["a"],
            payload: ByteBuffer(repeating: 0x61, count: self.input.number(0...255)))
        self.sent(self.machine.send(request, deadline: self.deadline(), now: self.now), isObserving: false)
    }

    private mutating func observe() {
        let request = Request(
            .get, path: ["a"], queries: [String(repeating: "q", count: self.input.number(0...255))])
        self.sent(self.machine.observe(request, deadline: self.deadline(), now: self.now), isObserving: true)
    }

    private mutating func sent(_ action: SendAction, isObserving: Bool) {
        switch action {
        case .write(let outgoing):
            self.books.began(outgoing.id, isObserving: isObserving)
            self.books.wrote(outgoing, self.machine.peer)
        case .queued(let id):
            self.books.began(id, isObserving: isObserving)
        case .refuse:
            break
        }
    }

    private mutating func cancel() {
        guard let id = self.input.pick(self.books.observed) else { return }
        if let message = self.machine.cancel(id) { self.books.wroteCancellation(message, of: id, self.machine.peer) }
        self.books.cancelled(id)
    }

    private mutating func respond() {
        guard let id = self.input.pick(self.books.answerable) else { return }
        let choice = self.input.byte()
        var response = Response(
            choice & 1 == 0 ? .content : .notFound,
            payload: ByteBuffer(repeating: 0x62, count: self.input.number(0...511)))
        if choice & 2 == 2 { response.options.observe = 7 }
        if choice & 4 == 4 { response.options.append(.requestID, string: "inside") }
        let isWritable = choice & 8 == 0
        self.perform(self.machine.respond(to: id, with: response, isWritable: isWritable), id)
        self.books.answered(id)
        guard isWritable else { return }
        while !self.books.isOver {
            let action = self.machine.nextNotification()
            if action == .nothing { return }
            self.perform(action, nil)
        }
    }

    private mutating func passTime() {
        if let next = self.machine.nextDeadline, self.input.flag() {
            self.now = max(self.now, next)
        } else {
            self.now = self.now + .milliseconds(Int64(self.input.number(0...255)) * 100)
        }
        // Each turn ends a request, writes a Ping or closes.
        for _ in 0..<64 {
            switch self.machine.deadlineReached(now: self.now) {
            case .wait(let until):
                require(until.map { $0 > self.now } ?? true, "waits for the past")
                return
            case .expire(let late, let cancellations, let next):
                require(!late.isEmpty || !next.isEmpty, "nothing expired")
                for message in cancellations {
                    guard let id = late.keys.first(where: { Token(eightBytes: $0.rawValue) == message.token }) else {
                        fatalError("something else is cancelled than what is late")
                    }
                    self.books.wroteCancellation(message, of: id, self.machine.peer)
                }
                for id in late.keys { self.books.completed(id) }
                for outgoing in next { self.books.wrote(outgoing, self.machine.peer) }
            case .ping(let ping):
                self.books.wrote(ping, self.machine.peer)
            case .abort(let abort, _):
                self.books.wrote(abort, self.machine.peer)
                return self.end()
            case .close, .halfClose:
                return self.end()
            }
        }
        fatalError("asks without end")
    }

    private mutating func perform(_ action: RespondAction, _ id: IncomingID?) {
        switch action {
        case .nothing:
            break
        case .write(let messages):
            for message in messages { self.books.wrote(message, self.machine.peer, answering: id) }
        case .writeUnregistered(let messages, let id):
            for message in messages { self.books.wrote(message, self.machine.peer, answering: id) }
            self.books.unregistered(id)
        case .writeThenClose(let messages, _):
            for message in messages { self.books.wrote(message, self.machine.peer, answering: id) }
            self.end()
        }
    }

    // MARK: What the peer does

    /// An answer, as a rule to something of ours.
    private mutating func response() -> Message {
        var options = Options()
        let choice = self.input.byte()
        if choice & 1 == 1 { options.append(.observe, self.input.bytes(Int(choice >> 1 & 0b11))) }
        if choice & 8 == 8 { options.append(OptionNumber(rawValue: UInt16(self.input.number(65_000...65_535)))) }
        let token =
            self.input.pick(self.books.tokens) ?? Token(self.input.bytes(8).readableBytesView)
        return Message(
            code: choice & 16 == 0 ? .content : .notFound, token: token, options: options,
            payload: self.input.bytes(Int(choice >> 5)))
    }

    private mutating func request() -> Message {
        let choice = self.input.byte()
        var options = Options()
        options.path = [["a", "b", "..", "\u{0}"][Int(choice & 0b11)]]
        if choice & 4 == 4 { options.append(.observe, uint: UInt64(choice >> 3 & 0b11)) }
        if choice & 32 == 32 { options.append(.noResponse, bytes: [self.input.byte() & 0x1F]) }
        if choice & 64 == 64 { options.append(OptionNumber(rawValue: UInt16(self.input.number(65_000...65_535)))) }
        // A few tokens, again and again.
        return Message(code: .get, token: Token([UInt8(self.input.number(1...4))]), options: options)
    }

    private mutating func signal() -> Message {
        let code = [Code.capabilitiesAndSettings, .ping, .pong, .release, .abort, Code(7, 30)][self.input.number(0...5)]
        var options = Options()
        if self.input.flag() {
            options.append(
                OptionNumber(rawValue: UInt16(self.input.number(1...6))), self.input.bytes(self.input.number(0...4)))
        }
        return Message(code: code, token: Token([9]), options: options)
    }

    private mutating func receive(_ message: Message) {
        self.machine.receivedBytes(now: self.now)
        self.perform(self.machine.received(message, size: message.frameLength, now: self.now), of: message)
    }

    /// A frame as it stands in the input; what is none ends the connection.
    private mutating func receiveFrame() {
        var bytes = self.input.bytes(self.input.number(0...255))
        do throws(DecodeError) {
            let limits = FrameLimits(maximumTokenLength: 300)
            if let message = try Message(readingFrameFrom: &bytes, limits: limits) { self.receive(message) }
        } catch {
            self.books.wrote(self.machine.malformed(error), self.machine.peer)
            self.end()
        }
    }

    private mutating func perform(_ action: ReceiveAction, of message: Message) {
        switch action {
        case .ignore:
            break
        case .handle(let id, _):
            self.books.arrived(id, message.token, mayObserve: message.options.observe == 0)
        case .reply(let reply):
            self.books.wrote(reply, self.machine.peer)
        case .complete(let id, _, let next, let end):
            require(
                message.token == Token(eightBytes: id.rawValue), "an answer completed a request under another token")
            self.books.completed(id)
            self.goOn(next, end)
        case .notify(let id, _, let isFirst, let next, let end):
            require(message.token == Token(eightBytes: id.rawValue), "a notification went to another observation")
            self.books.notified(id, isFirst: isFirst)
            self.goOn(next, end)
        case .swallowed(let next, let end):
            self.books.swallowed(message.token)
            self.goOn(next, end)
        case .cancelled(let id, let then):
            self.books.unregistered(id)
            self.perform(then, of: message)
        case .released(_, let unsent, let closeNow):
            for id in unsent { self.books.completed(id) }
            if closeNow { self.end() }
        case .abort(let abort, _):
            self.books.wrote(abort, self.machine.peer)
            self.end()
        case .close:
            self.end()
        }
    }

    private mutating func goOn(_ next: [Outgoing], _ end: ConnectionEnd?) {
        for outgoing in next { self.books.wrote(outgoing, self.machine.peer) }
        if end != nil { self.end() }
    }
}
