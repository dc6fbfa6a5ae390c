import CoAP
import CoAPTransport
import NIOCore
import NIOPosix
import TestSupport
import Testing

/// Both ends of observations over real sockets.
@Suite("Observations over a connection", .timeLimit(.minutes(2)))
struct ObservationTests {
    typealias Told = Result<ObservationEvent, ExchangeError>

    private static func observe(
        _ connection: CoAPConnection, _ request: Request = .observing("light", "1")
    ) -> (log: ObservationLog<Told>, handle: ObservationHandle) {
        let log = ObservationLog<Told>()
        return (log, Self.observe(connection, request, log: log))
    }

    private static func observe(
        _ connection: CoAPConnection, _ request: Request = .observing("light", "1"), log: ObservationLog<Told>
    ) -> ObservationHandle {
        connection.observe(request, deadline: .now() + .seconds(30)) { log.append($0) }
    }

    // MARK: We observe

    @Test("RFC 7641 §4.2: a device is observed, notifies three times, and is told when nobody wants it any more")
    func observes() async throws {
        try await ListenerBench.with { bench in
            let (peer, connection) = try await bench.pair()
            let (log, handle) = Self.observe(connection)
            let request = try await peer.receiveRequest(.get, "light/1")
            #expect(request.options.observe == 0)
            for text in ["first", "1", "2", "3"] {
                try await peer.notify(request, text)
                #expect(try await log.next() == .success(.notified(.seen(text))))
            }
            handle.cancel()
            let cancellation = try await peer.receiveRequest(.get, "light/1")
            #expect(cancellation.options.observe == 1)
            #expect(cancellation.token == request.token)
            try await peer.notify(request, "late")
            try await peer.answer(cancellation, Response(.content))
            // Swallowed, both of them, and the connection is as good as before.
            let other = Self.observe(connection).log
            try await peer.notify(try await peer.receiveRequest(.get, "light/1"), "again")
            #expect(try await other.next() == .success(.notified(.seen("again"))))
            #expect(log.count == 4)
            handle.cancel()
            try await peer.expectSilence()
        }
    }

    @Test("A handle that is cancelled before anything was sent, or before the answer, tells nobody anything")
    func cancelEarly() async throws {
        try await ListenerBench.with { bench in
            let (peer, connection) = try await bench.pair()
            // On the event loop, where the handle is there before the request went out.
            let log = ObservationLog<Told>()
            try await connection.eventLoop.submit {
                Self.observe(connection, log: log).cancel()
            }.get()
            let request = try await peer.receiveRequest(.get, "light/1")
            let cancellation = try await peer.receiveRequest(.get, "light/1")
            #expect(cancellation.options.observe == 1)
            try await peer.notify(request, "first")
            try await peer.answer(cancellation, Response(.content))
            try await peer.expectSilence()
            #expect(log.count == 0)
        }
    }

    @Test("RFC 7641 §4.1: a device that answers without Observe is not observed, and that is its end")
    func notObservable() async throws {
        try await ListenerBench.with { bench in
            let (peer, connection) = try await bench.pair()
            let (log, handle) = Self.observe(connection)
            let request = try await peer.receiveRequest(.get, "light/1")
            try await peer.answer(request, .text("plain"))
            #expect(try await log.next() == .success(.ended(.text("plain"))))
            handle.cancel()
            try await peer.expectSilence()
        }
    }

    @Test("RFC 8323 §7: observations end with the connection, each once")
    func lost() async throws {
        try await ListenerBench.with { bench in
            let (peer, connection) = try await bench.pair()
            let open = Self.observe(connection)
            try await peer.notify(try await peer.receiveRequest(.get, "light/1"), "first")
            #expect(try await open.log.next() == .success(.notified(.seen("first"))))
            let waiting = Self.observe(connection)
            _ = try await peer.receiveRequest(.get, "light/1")
            await peer.close()
            for log in [open.log, waiting.log] {
                #expect(try await log.next() == .failure(ExchangeError(.connectionLost, delivered: true)))
            }
            _ = try await bench.end()
            let refused = Self.observe(connection)
            #expect(try await refused.log.next() == .failure(ExchangeError(.closing, delivered: false)))
            #expect([open.log.count, waiting.log.count, refused.log.count] == [2, 1, 1])
            open.handle.cancel()
        }
    }

    @Test("BI-26: a device that storms is read no faster than its rate, and loses nothing by it")
    func storm() async throws {
        let limits = TransportLimits(messagesPerSecond: 1000, messageBurst: 10)
        try await ListenerBench.with(limits: limits) { bench in
            let (peer, connection) = try await bench.pair()
            let (log, _) = Self.observe(connection)
            let request = try await peer.receiveRequest(.get, "light/1")
            let start = ContinuousClock.now
            var bytes = ByteBuffer()
            for number in 0..<2000 { Message.notification("\(number)", of: request).writeFrame(into: &bytes) }
            try await peer.send(bytes: Array(bytes.readableBytesView))
            for number in 0..<2000 {
                #expect(try await log.next() == .success(.notified(.seen("\(number)"))))
            }
            // 1990 beyond the burst at 1000 a second. That it may take longer is the machine's business.
            #expect(ContinuousClock.now - start > .milliseconds(1500))
        }
    }

    // MARK: The peer observes

    /// A listener whose requests go to `resource`, over what every delegate uses.
    private static func serving(
        _ resource: ScriptedResource, _ configuration: ConnectionConfiguration = ConnectionConfiguration(),
        limits: TransportLimits = TransportLimits(), _ body: (ScriptedPeer) async throws -> Void
    ) async throws {
        let listener = try await CoAPListener.bind(
            host: "127.0.0.1", port: 0, group: MultiThreadedEventLoopGroup.singleton, configuration: configuration,
            limits: limits, maximumConnections: 10, logger: ListenerBench.logger
        ) { ServingDelegate(resource) }
        let result: Result<Void, any Error>
        do {
            result = .success(try await body(try await ScriptedPeer.connect(port: listener.port)))
        } catch {
            result = .failure(error)
        }
        await listener.stopAccepting()
        await listener.releaseAll(grace: .zero)
        try result.get()
    }

    @Test("RFC 7641 §3.6: a peer registers, is notified three times, and cancels with Observe 1")
    func served() async throws {
        let resource = ScriptedResource()
        try await Self.serving(resource) { peer in
            let token = Token.unique()
            try await peer.start(.observing("light", "1"), token: token)
            let observer = try await resource.observer()
            #expect(observer.request.options.path == ["light", "1"])
            var values: [UInt32?] = []
            for text in ["first", "1", "2", "3"] {
                observer.notify(text)
                let message = try await peer.receivePastCSM()
                #expect(message.token == token)
                #expect(message.payload == ByteBuffer(string: text))
                values.append(message.options.observe)
            }
            #expect(values == [0, 2, 3, 4])
            var cancelling = Request.observing("light", "1")
            cancelling.options.observe = 1
            let answer = try await peer.ask(cancelling, token: token)
            #expect(answer.code == .content)
            #expect(answer.options.observe == nil)
            try await resource.cancellation()
            #expect(try await resource.request().options.observe == nil)
            observer.notify("late")
            try await peer.expectSilence()
        }
        #expect(resource.cancelled == 1)
    }

    @Test("RFC 7641 §4.1: whoever registers again under the same token is served anew, and the old one is cancelled")
    func reregister() async throws {
        let resource = ScriptedResource()
        try await Self.serving(resource) { peer in
            let token = Token.unique()
            try await peer.start(.observing("light", "1"), token: token)
            let old = try await resource.observer()
            old.notify("old")
            #expect(try await peer.receivePastCSM().payload == ByteBuffer(string: "old"))
            try await peer.start(.observing("light", "2"), token: token)
            try await resource.cancellation()
            let new = try await resource.observer()
            #expect(new.request.options.path == ["light", "2"])
            old.notify("old again")
            new.notify("new")
            #expect(try await peer.receivePastCSM().payload == ByteBuffer(string: "new"))
            try await peer.expectSilence()
        }
        #expect(resource.cancelled == 2)
    }

    @Test("RFC 7641 §4.2: an end is the last answer, and what ended is not cancelled")
    func ended() async throws {
        let resource = ScriptedResource()
        try await Self.serving(resource) { peer in
            try await peer.start(.observing("light", "1"))
            let observer = try await resource.observer()
            observer.notify("first")
            #expect(try await peer.receivePastCSM().options.observe == 0)
            observer.end(Response(.notFound))
            let last = try await peer.receivePastCSM()
            #expect(last.code == .notFound)
            #expect(last.options.observe == nil)
            observer.notify("late")
            try await peer.expectSilence()
        }
        #expect(resource.cancelled == 0)
    }

    @Test("RFC 7641 §4.2: a notification that is an error is the last, and what stands behind it is cancelled")
    func errorNotified() async throws {
        let resource = ScriptedResource()
        try await Self.serving(resource) { peer in
            try await peer.start(.observing("light", "1"))
            let observer = try await resource.observer()
            observer.notify("first")
            _ = try await peer.receivePastCSM()
            observer.notify(Response(.serviceUnavailable))
            #expect(try await peer.receivePastCSM().code == .serviceUnavailable)
            try await resource.cancellation()
        }
        #expect(resource.cancelled == 1)
    }

    @Test("RFC 8323 §7: what a peer observed is cancelled when its connection ends", arguments: [true, false])
    func gone(isReset: Bool) async throws {
        let resource = ScriptedResource()
        try await Self.serving(resource) { peer in
            try await peer.start(.observing("light", "1"))
            let answered = try await resource.observer()
            answered.notify("first")
            _ = try await peer.receivePastCSM()
            try await peer.start(.observing("light", "2"))
            _ = try await resource.observer()
            if isReset { try await peer.reset() } else { await peer.close() }
            try await resource.cancellation()
            try await resource.cancellation()
            answered.notify("late")
        }
        #expect(resource.cancelled == 2)
    }

    @Test("BI-26: what is registered above the bound is answered once, and nobody goes on telling it")
    func bounded() async throws {
        let resource = ScriptedResource()
        try await Self.serving(resource, ConnectionConfiguration(maximumObservers: 1)) { peer in
            try await peer.start(.observing("light", "1"))
            try await resource.observer().notify("first")
            _ = try await peer.receivePastCSM()
            let answer = try await peer.ask(.observing("light", "2"))
            #expect(answer.options.observe == nil)
            #expect(answer.payload == ByteBuffer(string: "plain"))
            _ = try await resource.request()
        }
    }

    @Test("A notification that the peer cannot take ends its registration, and what stands behind it is cancelled")
    func tooLarge() async throws {
        let resource = ScriptedResource()
        try await Self.serving(resource) { peer in
            try await peer.start(.observing("light", "1"))
            let observer = try await resource.observer()
            observer.notify("first")
            _ = try await peer.receivePastCSM()
            observer.notify(String(repeating: "x", count: 5000))
            #expect(try await peer.receivePastCSM().code == .internalServerError)
            try await resource.cancellation()
        }
        #expect(resource.cancelled == 1)
    }

    @Test("BI-26, BI-60: a peer that does not read is told the newest only when it does again, and then the end")
    func slowReader() async throws {
        let resource = ScriptedResource()
        try await Self.serving(resource, limits: TransportLimits(outboundBufferBytes: 64 * 1024)) { peer in
            try await peer.send(.csm(1 << 20))
            try await peer.start(.observing("light", "1"))
            let observer = try await resource.observer()
            observer.notify("first")
            #expect(try await peer.receivePastCSM().payload == ByteBuffer(string: "first"))
            try await peer.setReading(false)
            // Far more than all buffers between the two hold.
            let rounds = 2000
            for number in 1...rounds {
                observer.notify("\(number) " + String(repeating: "x", count: 16_000))
            }
            observer.notify("newest")
            try await peer.setReading(true)
            var received: [Int] = []
            var last: UInt32 = 0
            while true {
                let message = try await peer.receivePastCSM()
                let value = try #require(message.options.observe)
                #expect(value > last)
                last = value
                let text = String(buffer: message.payload ?? ByteBuffer())
                guard text != "newest", let number = Int(text.prefix { $0 != " " }) else { break }
                received.append(number)
            }
            #expect(received == received.sorted())
            #expect(received.count < rounds)
            observer.notify("on")
            #expect(try await peer.receivePastCSM().payload == ByteBuffer(string: "on"))
        }
    }

    // MARK: Both

    @Test("A device of ours is observed by whoever it dialled")
    func dialled() async throws {
        try await ListenerBench.with { bench in
            let resource = ScriptedResource()
            let dialer = CoAPDialer(group: MultiThreadedEventLoopGroup.singleton, logger: ListenerBench.logger)
            let device = try await dialer.connect(
                host: "127.0.0.1", port: bench.listener.port, timeout: .seconds(20), server: resource)
            let cloud = try await bench.next("a connection") { event -> CoAPConnection? in
                if case .opened(let connection) = event { connection } else { nil }
            }
            let (log, handle) = Self.observe(cloud)
            let observer = try await resource.observer()
            for text in ["first", "1", "2", "3"] {
                observer.notify(text)
                guard case .success(.notified(let response)) = try await log.next() else {
                    Issue.record("not notified")
                    return
                }
                #expect(response.payload == ByteBuffer(string: text))
            }
            handle.cancel()
            try await resource.cancellation()
            _ = try await resource.request()
            let (again, _) = Self.observe(cloud)
            try await resource.observer().notify("again")
            _ = try await again.next()
            await device.close()
            guard case .failure = try await again.next() else {
                Issue.record("no failure")
                return
            }
            try await resource.cancellation()
            #expect(log.count == 4)
        }
    }
}

/// Serves one resource, by the means every delegate has.
private final class ServingDelegate: ConnectionDelegate {
    private let resource: ScriptedResource
    private var connection: CoAPConnection?
    private var observations: ServedObservations?

    init(_ resource: ScriptedResource) {
        self.resource = resource
    }

    func connectionOpened(_ connection: CoAPConnection) {
        self.connection = connection
        self.observations = ServedObservations(connection)
    }

    func connectionReceived(_ request: Request, id: IncomingID) {
        if request.registers {
            self.observations?.serve(request, id: id, by: self.resource)
        } else if let connection = self.connection {
            self.resource.respond(to: request) { connection.respond(to: id, with: $0) }
        }
    }

    func connectionCancelled(_ id: IncomingID) { self.observations?.cancelled(id) }
    func connectionReleased(to alternativeAddresses: [String]) {}
    func connectionIgnored(_ message: IgnoredMessage) {}

    func connectionEnded(_ end: ConnectionEnd) {
        self.observations?.endAll()
        self.observations = nil
        self.connection = nil
    }
}

extension ScriptedPeer {
    fileprivate func notify(_ request: Message, _ text: String) async throws {
        try await self.send(.notification(text, of: request))
    }
}

extension Message {
    fileprivate static func notification(_ text: String, of request: Message) -> Message {
        var response = Response.seen(text)
        response.options.observe = 0
        return Message(code: .content, token: request.token, options: response.options, payload: response.payload)
    }

    fileprivate static func csm(_ maxMessageSize: UInt64) -> Message {
        var options = Options()
        options.append(OptionNumber(rawValue: 2), uint: maxMessageSize)
        return Message(code: .capabilitiesAndSettings, token: .empty, options: options)
    }
}

extension Response {
    /// What whoever observes is told.
    fileprivate static func seen(_ text: String) -> Response {
        var response = Response.text(text)
        response.options.observe = 0
        return response
    }
}
