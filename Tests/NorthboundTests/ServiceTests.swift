import Cloud
import CoAP
import Logging
import NIOCore
import NIOPosix
import ServiceLifecycle
import ServiceShell
import Synchronization
import Testing

@testable import Northbound

@Suite("The listener", .timeLimit(.minutes(1)))
struct ServiceTests {
    private func responder() -> (NorthboundResponder, FakeDevices) {
        let registry = FakeRegistry()
        let devices = FakeDevices()
        registry.add(.user, "alice-user", uid: "alice")
        devices.connect("lamp", uid: "alice")
        let logger = Observability.logger(label: "northbound", sink: MemorySink())
        let responder = NorthboundResponder(
            configuration: NorthboundConfiguration(port: 0), registry: registry, devices: devices, presence: devices,
            sessions: devices, events: InMemoryEventLog(clock: SystemWallClock()),
            keys: InMemoryKeyedAnswerStore(), accessLog: AccessLog(mode: .all, logger: logger), logger: logger)
        return (responder, devices)
    }

    private func bind(_ port: Int, _ responder: NorthboundResponder) async throws(BindError) -> NorthboundService {
        try await NorthboundService.bind(
            NorthboundConfiguration(port: port), responder: responder, group: .singletonMultiThreadedEventLoopGroup,
            logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() })
    }

    @Test("A port in use is an error that names it and the variable that moves it")
    func portInUse() async throws {
        let (responder, _) = self.responder()
        let first = try await self.bind(0, responder)
        let error = await #expect(throws: BindError.self) { try await self.bind(first.port, responder) }
        #expect(error?.port == first.port)
        #expect(error?.variable == "HTTP_PORT")
        await first.close()
        // What was given back can be taken again.
        let second = try await self.bind(first.port, responder)
        await second.close()
    }

    @Test("Connections to a bound port wait until it is served")
    func bindFirst() async throws {
        let (responder, _) = self.responder()
        let service = try await self.bind(0, responder)
        try await Peer.connect(service.port) { peer async throws in
            try await peer.send("GET /errors HTTP/1.1\r\nHost: x\r\n\r\n")
            try await withThrowingTaskGroup(of: Void.self) { group async throws in
                group.addTask { try await service.run() }
                #expect(try await peer.answer().status == 200)
                group.cancelAll()
            }
        }
    }

    @Test("Graceful shutdown answers what is in progress, closes what is idle and takes nothing more")
    func gracefulShutdown() async throws {
        let (responder, devices) = self.responder()
        let service = try await self.bind(0, responder)
        let held = Mutex<(@Sendable (CoAP.Response) -> Void)?>(nil)
        let (arrivals, arrived) = AsyncStream.makeStream(of: Void.self)
        devices.script { _, answer in
            held.withLock { $0 = answer }
            arrived.yield()
        }
        let group = ServiceGroup(
            services: [service], logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() })
        try await withThrowingTaskGroup(of: Void.self) { tasks in
            tasks.addTask { try await group.run() }
            try await Peer.connect(service.port) { idle in
                #expect(try await idle.request("GET", "/errors").status == 200)
                try await Peer.connect(service.port) { busy in
                    try await busy.send("GET /lamp/x HTTP/1.1\r\nHost: x\r\nAuthorization: alice-user\r\n\r\n")
                    var arriving = arrivals.makeAsyncIterator()
                    await arriving.next()
                    await group.triggerGracefulShutdown()
                    #expect(try await idle.rest().isEmpty)
                    held.withLock { $0 }?(CoAP.Response(.content))
                    #expect(try await busy.answer().status == 200)
                    #expect(try await busy.rest().isEmpty)
                }
            }
            try await tasks.waitForAll()
        }
        await #expect(throws: (any Error).self) { try await Peer.connect(service.port) { _ in } }
    }

    @Test("RFC 9112 §9.6: while it drains each connection ends with its next answer, new ones too; streams go on")
    func draining() async throws {
        let (responder, _) = self.responder()
        let service = try await self.bind(0, responder)
        let group = ServiceGroup(
            services: [service], logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() })
        try await withThrowingTaskGroup(of: Void.self) { tasks in
            tasks.addTask { try await group.run() }
            try await Peer.connect(service.port) { kept async throws in
                #expect(try await kept.request("GET", "/errors").fields["connection"] == nil)
                try await Peer.connect(service.port) { follower async throws in
                    let field = ["Authorization: alice-user", "Accept: text/event-stream"]
                    #expect(try await follower.request("GET", "/events", field).status == 200)
                    #expect(try await follower.event()["event"] == "ready")
                    service.drain()
                    let last = try await kept.request("GET", "/errors")
                    #expect(last.status == 200 && last.fields["connection"] == "close")
                    #expect(try await kept.rest().isEmpty)
                    try await Peer.connect(service.port) { late async throws in
                        let only = try await late.request("GET", "/errors")
                        #expect(only.status == 200 && only.fields["connection"] == "close")
                        #expect(try await late.rest().isEmpty)
                    }
                    // It ends only now, and everybody else stops later.
                    await service.finish(within: .seconds(30))
                    await #expect(throws: Peer.Ended.self) { try await follower.event() }
                    await #expect(throws: (any Error).self) { try await Peer.connect(service.port) { _ in } }
                }
            }
            await group.triggerGracefulShutdown()
            try await tasks.waitForAll()
        }
    }

    @Test("BI-60: graceful shutdown ends event streams, which would hold it up for ever")
    func shutdownEndsStreams() async throws {
        let (responder, devices) = self.responder()
        devices.makeObservable()
        let service = try await self.bind(0, responder)
        let group = ServiceGroup(
            services: [service], logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() })
        try await withThrowingTaskGroup(of: Void.self) { tasks in
            tasks.addTask { try await group.run() }
            try await Peer.connect(service.port) { observer async throws in
                let field = ["Authorization: alice-user", "Accept: text/event-stream"]
                #expect(try await observer.request("GET", "/lamp/x", field).status == 200)
                #expect(try await observer.event()["event"] == "notification")
                try await Peer.connect(service.port) { follower async throws in
                    #expect(try await follower.request("GET", "/events", field).status == 200)
                    #expect(try await follower.event()["event"] == "ready")
                    await group.triggerGracefulShutdown()
                    await #expect(throws: Peer.Ended.self) { try await follower.event() }
                    await #expect(throws: Peer.Ended.self) { try await observer.event() }
                }
            }
            try await tasks.waitForAll()
        }
        #expect(devices.observations == 0)
        #expect(responder.streams.count == 0)
    }
}
