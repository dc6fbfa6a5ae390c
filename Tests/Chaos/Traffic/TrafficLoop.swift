import MockDevice
import NIOCore
import NIOHTTP1
import NIOPosix

/// The traffic on its event loop: does what the machine says, and tells it what happens.
final class TrafficLoop {
    /// How often requests fall due at most: those in between go out together.
    private static let tickNanoseconds: Int64 = 1_000_000

    private let eventLoop: any EventLoop
    private let address: SocketAddress
    private let targets: TrafficTargets
    private let history: EventFile<TrafficEvent>?
    private let finished: EventLoopPromise<Void>
    private let headers: [HTTPHeaders]
    private var machine: TrafficMachine
    private var connections: [Int: TrafficConnection] = [:]
    private var isActing = false
    private(set) var outcomes = TrafficOutcomes()

    /// - Parameter finished: is kept when, after `stop`, the last request is over.
    init(
        _ plan: TrafficPlan, _ targets: TrafficTargets, to address: SocketAddress, authority: String,
        on eventLoop: any EventLoop, history: EventFile<TrafficEvent>?, finished: EventLoopPromise<Void>
    ) {
        self.eventLoop = eventLoop
        self.address = address
        self.targets = targets
        self.history = history
        self.finished = finished
        self.headers = targets.groups.map { ["host": authority, "authorization": "Bearer \($0.token)"] }
        self.machine = TrafficMachine(plan, now: MonotonicTime.now)
    }

    var figures: TrafficMachine.Figures { self.machine.figures }

    /// Begins, and goes on until it is over.
    func tick() {
        let now = MonotonicTime.now
        self.machine.tick(now: now)
        self.act()
        guard !self.machine.isOver else { return self.finished.succeed() }
        let next = max(self.machine.nextTick, now + Self.tickNanoseconds)
        self.eventLoop.assumeIsolated().scheduleTask(deadline: .uptimeNanoseconds(UInt64(clamping: next))) {
            self.tick()
        }
    }

    /// Nothing more falls due.
    func stop() {
        self.machine.stop(now: MonotonicTime.now)
        self.act()
    }

    func answered(_ number: Int, _ answer: TrafficAnswer, staysOpen: Bool) {
        self.machine.answered(number, answer, staysOpen: staysOpen, now: MonotonicTime.now)
        self.act()
    }

    func closed(_ number: Int, hasBegun: Bool) {
        // One that never opened is told of by its connect.
        guard self.connections.removeValue(forKey: number) != nil else { return }
        self.machine.closed(number, hasBegun: hasBegun, now: MonotonicTime.now)
        self.act()
    }

    /// Does all that is to be done; what comes of it meanwhile is done by whoever is at it already.
    private func act() {
        guard !self.isActing else { return }
        self.isActing = true
        defer { self.isActing = false }
        while let action = self.machine.next() {
            switch action {
            case .open(let number): self.open(number)
            case .send(let request, let number): self.send(request, number)
            case .close(let number): self.connections.removeValue(forKey: number)?.close()
            case .over(let exchange):
                self.outcomes.add(exchange)
                self.history?.note(.request(exchange.record(di: self.targets.device(exchange.request.device).di)))
            }
        }
    }

    private func open(_ number: Int) {
        let connection = TrafficConnection(self, number: number)
        self.connections[number] = connection
        let bound = NIOLoopBound(connection, eventLoop: self.eventLoop)
        ClientBootstrap(group: self.eventLoop)
            .connectTimeout(.seconds(5))
            .channelOption(.tcpOption(.tcp_nodelay), value: 1)
            .channelInitializer { channel in
                channel.eventLoop.makeCompletedFuture { try bound.value.addHandlers(to: channel) }
            }
            .connect(to: self.address)
            .assumeIsolated()
            .whenComplete { result in
                switch result {
                case .success: self.machine.opened(number, now: MonotonicTime.now)
                case .failure:
                    self.connections[number] = nil
                    self.machine.failed(number, now: MonotonicTime.now)
                }
                self.act()
            }
    }

    private func send(_ request: TrafficRequest, _ number: Int) {
        let (di, group) = self.targets.device(request.device)
        var headers = self.headers[group]
        var uri = "/\(di)/light"
        var body: ByteBuffer?
        switch request.method {
        case .get: uri += "?n=\(request.n)"
        case .post:
            let bytes = ByteBuffer(string: "{\"n\":\(request.n),\"brightness\":\(request.n % 101)}")
            headers.add(name: "content-type", value: "application/json")
            headers.add(name: "content-length", value: "\(bytes.readableBytes)")
            body = bytes
        }
        let method: HTTPMethod = request.method == .post ? .POST : .GET
        self.connections[number]?.send(
            HTTPRequestHead(version: .http1_1, method: method, uri: uri, headers: headers), body: body)
    }
}
