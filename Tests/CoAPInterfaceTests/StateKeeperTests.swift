import CBOR
import Cloud
import CoAP
import NIOCore
import NIOPosix
import Synchronization
import TestSupport
import Testing

@testable import CoAPInterface

@Suite("What pods take down of what devices say")
struct StateKeeperTests {
    /// A store that is done when the test says so.
    private final class SlowStore: StateStore {
        struct Kept: Sendable {
            let state: StoredState
            let resource: StoredResource
            let done: @Sendable (Bool) -> Void
        }

        let kept: AsyncStream<Kept>
        private let continuation: AsyncStream<Kept>.Continuation
        private let count = Mutex(0)

        var calls: Int { self.count.withLock { $0 } }

        init() { (self.kept, self.continuation) = AsyncStream.makeStream() }

        func keep(_ state: StoredState, of resource: StoredResource, done: @escaping @Sendable (Bool) -> Void) {
            self.count.withLock { $0 += 1 }
            self.continuation.yield(Kept(state: state, resource: resource, done: done))
        }

        func state(of resource: StoredResource) async throws(RouteStoreUnavailable) -> StoredState? { nil }
        func forget(_ di: DeviceID) {}

        func next() async throws -> Kept {
            for await kept in self.kept { return kept }
            throw PeerError("the test was cancelled")
        }
    }

    private static func session(_ di: String = "lamp", epoch: UInt64 = 1) -> Session {
        Session(
            di: DeviceID(stored: di), uid: UserID(stored: "alice"), kind: .device, epoch: epoch, expiresAt: nil)
    }

    private static func subject(_ path: String...) -> StateKeeper.Subject {
        .resource(StoredResource(di: DeviceID(stored: "lamp"), path: path, queries: []))
    }

    private static func said(_ bytes: [UInt8]) -> Response {
        Response(.content, payload: ByteBuffer(bytes: bytes))
    }

    private static func keeper(_ store: any StateStore) -> StateKeeper {
        StateKeeper(mode: .passive, store: store, group: MultiThreadedEventLoopGroup.singleton)
    }

    @Test("However much there is to write, a few are written at a time: sign-ins need the same way to the store")
    func paced() async throws {
        let store = SlowStore()
        let keeper = Self.keeper(store)
        let total = 1000
        for number in 0..<total { keeper.heard(Self.said([1]), of: Self.subject("\(number)"), in: Self.session()) }
        keeper.write()
        var seen: Set<StoredResource> = []
        for written in 0..<total {
            #expect(store.calls - written <= StateKeeper.maximumUnderWay)
            let kept = try await store.next()
            seen.insert(kept.resource)
            kept.done(true)
        }
        #expect(seen.count == total)
    }

    @Test("What a session says that was taken over never replaces what the newer one has said")
    func order() async throws {
        let store = SlowStore()
        let keeper = Self.keeper(store)
        keeper.heard(Self.said([2]), of: Self.subject("light"), in: Self.session(epoch: 2))
        keeper.heard(Self.said([1]), of: Self.subject("light"), in: Self.session(epoch: 1))
        keeper.write()
        #expect(try await store.next().state.payload == [2])
    }

    @Test("What waits is bounded in bytes, and is written all the same")
    func bytes() async throws {
        let store = SlowStore()
        let keeper = Self.keeper(store)
        let large = Self.said([UInt8](repeating: 1, count: StoredStateLimits.payloadBytes))
        for number in 0..<2000 { keeper.heard(large, of: Self.subject("\(number)"), in: Self.session()) }
        keeper.write()
        var count = 0
        while count < StateKeeper.maximumBytes / (StoredStateLimits.payloadBytes + 8) {
            try await store.next().done(true)
            count += 1
        }
        #expect(store.calls < 1100)
    }

    @Test(
        "A batch tells of each resource: of indefinite length, with hrefs of this device only, and a part of them later"
    )
    func batch() async throws {
        let clock = SystemWallClock()
        let store = InMemoryStateStore(clock: clock)
        let keeper = Self.keeper(store)
        func entry(_ href: String, _ on: Bool) -> [UInt8] {
            // {_ "href": …, "rep": {_ "on": …}}
            [0xBF] + DataItem.text("href").bytes + DataItem.text(href).bytes + DataItem.text("rep").bytes + [0xBF]
                + DataItem.text("on").bytes + [on ? 0xF5 : 0xF4, 0xFF, 0xFF]
        }
        let hrefs = ["ocf://lamp/light", "/fan/1", "ocf://safe/door", "relative", "/a%20b"]
        let batch: [UInt8] = [0x9F] + hrefs.flatMap { (href: String) -> [UInt8] in entry(href, true) } + [0xFF]
        keeper.heard(Self.said(batch), of: .batch, in: Self.session())
        keeper.heard(Self.said([0x9F] + entry("/fan/1", false) + ([0xFF] as [UInt8])), of: .batch, in: Self.session())
        keeper.heard(Self.said([0x9F, 0x01]), of: .batch, in: Self.session())
        keeper.write()
        func on(_ di: String, _ path: String...) async throws -> Bool? {
            let state = try await store.state(
                of: StoredResource(di: DeviceID(stored: di), path: path, queries: []))
            return try state.map { try DataItem(decoding: ByteBuffer(bytes: $0.payload))["on"]?.flag } ?? nil
        }
        #expect(try await on("lamp", "light") == true)
        #expect(try await on("lamp", "fan", "1") == false)
        #expect(try await on("lamp", "a b") == true)
        #expect(try await on("safe", "door") == nil)
        #expect(try await on("lamp", "door") == nil)
        #expect(try await on("lamp", "relative") == nil)
    }

    @Test("What the store could not be reached for is given to it again, unless something newer was said")
    func again() async throws {
        let store = SlowStore()
        let keeper = Self.keeper(store)
        keeper.heard(Self.said([1]), of: Self.subject("light"), in: Self.session())
        keeper.write()
        try await store.next().done(false)
        let second = try await store.next()
        #expect(second.state.payload == [1])
        keeper.heard(Self.said([2]), of: Self.subject("light"), in: Self.session())
        second.done(false)
        #expect(try await store.next().state.payload == [2])
    }

    @Test("While the store is away it is tried with a few, and not with all that waits")
    func away() async throws {
        let store = SlowStore()
        let keeper = Self.keeper(store)
        for number in 0..<500 { keeper.heard(Self.said([1]), of: Self.subject("\(number)"), in: Self.session()) }
        keeper.write()
        for _ in 0..<StateKeeper.maximumUnderWay { try await store.next().done(false) }
        #expect(store.calls == StateKeeper.maximumUnderWay)
        var seen: Set<StoredResource> = []
        while seen.count < 500 {
            let kept = try await store.next()
            seen.insert(kept.resource)
            kept.done(true)
        }
    }

    @Test("A deleted device is written no more")
    func forgotten() async throws {
        let store = SlowStore()
        let keeper = Self.keeper(store)
        keeper.heard(Self.said([1]), of: Self.subject("light"), in: Self.session())
        keeper.forget(DeviceID(stored: "lamp"))
        let fan = StoredResource(di: DeviceID(stored: "fan"), path: ["fan"], queries: [])
        keeper.heard(Self.said([2]), of: .resource(fan), in: Self.session("fan"))
        keeper.write()
        #expect(try await store.next().resource == fan)
    }
}

extension DataItem {
    fileprivate var bytes: [UInt8] { Array(self.encoded().readableBytesView) }
}
