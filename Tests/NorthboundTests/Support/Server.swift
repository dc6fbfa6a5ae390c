import CBOR
import Cloud
import Logging
import NIOCore
import NIOPosix
import OCF
import ServiceShell
import Synchronization

@testable import Northbound

/// A northbound on a free port with scripted surroundings.
struct Server: Sendable {
    let port: Int
    let registry: FakeRegistry
    let devices: FakeDevices
    let events: any EventHistory
    let log: MemorySink
    let responder: NorthboundResponder

    /// Alice has the device `lamp` (connected) and `fridge` (not), Bob has `oven` (connected); each has a token of
    /// every kind, named `alice-user` and so on. `gone-user` was Carol's, who is deleted.
    static func run<Value: Sendable>(
        _ configuration: NorthboundConfiguration = NorthboundConfiguration(port: 0),
        clock: any WallClock = SystemWallClock(),
        events: (any EventHistory)? = nil,
        ceilings: Ceilings? = nil,
        _ body: @Sendable (Server) async throws -> Value
    ) async throws -> Value {
        let registry = FakeRegistry()
        let devices = FakeDevices()
        for (user, device) in [("alice", "lamp"), ("bob", "oven")] {
            registry.add(.user, "\(user)-user", uid: user)
            registry.add(.mediator, "\(user)-mediator", uid: user)
            registry.add(.client, "\(user)-client", uid: user, di: "\(user)-phone")
            registry.add(.device, "\(user)-device", uid: user, di: device)
            devices.connect(device, uid: user)
        }
        registry.add(.device, "fridge-device", uid: "alice", di: "fridge")
        devices.register("fridge", uid: "alice")
        let events = events ?? InMemoryEventLog(clock: clock)
        let log = MemorySink()
        let logger = Observability.logger(label: "northbound", level: .debug, sink: log)
        let responder = NorthboundResponder(
            configuration: configuration,
            registry: registry,
            devices: devices,
            presence: devices,
            sessions: devices,
            events: events,
            keys: InMemoryKeyedAnswerStore(),
            accessLog: AccessLog(
                mode: .all, logger: Observability.logger(label: "northbound.access", sink: log)),
            logger: logger,
            clock: clock)
        let service = try await NorthboundService.bind(
            configuration, responder: responder, ceilings: ceilings, group: .singletonMultiThreadedEventLoopGroup,
            logger: logger)
        let server = Server(
            port: service.port, registry: registry, devices: devices, events: events, log: log, responder: responder)
        return try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask { try await service.run() }
            defer { group.cancelAll() }
            return try await body(server)
        }
    }

    /// One request on a connection of its own, with a token.
    func request(
        _ method: String, _ target: String, token: String? = nil, _ fields: [String] = [], body: String = ""
    ) async throws -> Peer.Answer {
        try await Peer.connect(self.port) { peer in
            try await peer.request(
                method, target, (token.map { ["Authorization: Bearer \($0)"] } ?? []) + fields, body: body)
        }
    }
}

extension Peer.Answer {
    /// The body as JSON.
    var json: DataItem? { try? JSONCoding.decode(ByteBuffer(string: self.body)) }

    /// The slug of a problem, nil if the answer is none.
    var slug: String? {
        guard self.fields["content-type"] == "application/problem+json", let type = self.json?["type"]?.string,
            type.hasPrefix("/errors#")
        else { return nil }
        return String(type.dropFirst("/errors#".count))
    }
}

/// A clock that moves only when it is told to.
final class MovableClock: WallClock {
    private let moment = Mutex(Timestamp(milliseconds: 1_000_000_000_000))

    func now() -> Timestamp { self.moment.withLock { $0 } }

    func advance(milliseconds: Int64) {
        self.moment.withLock { $0.milliseconds += milliseconds }
    }
}
