import CBOR
package import Cloud
import CoAP
package import NIOCore
import Synchronization

/// Takes down what the devices of this pod say to whoever observes them, for when they cannot be asked.
///
/// Of each resource the newest state is written, at most once in `period`: a device may say something ten times a
/// second. Bounded in resources that wait; those beyond are not kept.
package final class StateKeeper: Sendable {
    /// How long a state may wait to be written.
    package static let period: TimeAmount = .seconds(1)
    static let maximumPending = 10_000
    /// Resources of one batch.
    private static let maximumBatch = StoredStateLimits.perDevice

    package let mode: StoredStateMode
    private let store: any StateStore
    private let clock: any WallClock
    private let eventLoop: any EventLoop
    private let pending = Mutex<[StoredResource: StoredState]>([:])

    /// - Parameter group: one of its loops writes to the store, which must not block it.
    package init(
        mode: StoredStateMode, store: any StateStore, clock: any WallClock = SystemWallClock(),
        group: any EventLoopGroup
    ) {
        self.mode = mode
        self.store = store
        self.clock = clock
        self.eventLoop = group.next()
    }

    /// What the answers to one request tell the state of.
    enum Subject {
        case resource(StoredResource)
        /// Of many resources at once.
        case batch

        /// - Parameter request: as the device sees it.
        init(of request: Request, di: DeviceID) {
            let path = request.options.path ?? []
            let queries = request.options.queries ?? []
            self =
                path == ["oic", "res"] && queries.contains("if=oic.if.b")
                ? .batch : .resource(StoredResource(di: di, path: path, queries: queries))
        }
    }

    /// A device said this of `subject`.
    func heard(_ response: Response, of subject: Subject, in session: Session) {
        guard self.mode != .off, response.code == .content, let payload = response.payload else { return }
        switch subject {
        case .batch:
            self.heardBatch(payload, of: session)
        case .resource(let resource):
            self.keep(
                Array(payload.readableBytesView), format: response.options.contentFormat?.rawValue, of: resource,
                session)
        }
    }

    /// A batch has the state of many resources: `[{href, rep}, …]` (OCF Core §7.6.3.3).
    private func heardBatch(_ payload: ByteBuffer, of session: Session) {
        guard let entries = (try? DataItem(decoding: payload))?.elements else { return }
        for entry in entries.prefix(Self.maximumBatch) {
            guard let href = entry["href"]?.string, let state = entry["rep"],
                let path = Self.path(of: href, di: session.di)
            else { continue }
            self.keep(
                Array(state.encoded().readableBytesView), format: ContentFormat.ocfCBOR.rawValue,
                of: StoredResource(di: session.di, path: path, queries: []), session)
        }
    }

    /// The reference stack writes `ocf://{di}/light`, others `/light`.
    static func path(of href: String, di: DeviceID) -> [String]? {
        var rest = href[...]
        if rest.hasPrefix("ocf://") {
            rest = rest.dropFirst("ocf://".count)
            guard let slash = rest.firstIndex(of: "/"), (try? DeviceID(String(rest[..<slash]))) == di else {
                return nil
            }
            rest = rest[slash...]
        }
        guard rest.hasPrefix("/") else { return nil }
        return rest.dropFirst().split(separator: "/", omittingEmptySubsequences: false).map(String.init)
    }

    private func keep(_ payload: [UInt8], format: UInt16?, of resource: StoredResource, _ session: Session) {
        let state = StoredState(uid: session.uid, payload: payload, contentFormat: format, at: self.clock.now())
        guard StoredStateLimits.takes(state, of: resource) else { return }
        let isFirst = self.pending.withLock { pending in
            guard pending.count < Self.maximumPending || pending[resource] != nil else { return false }
            pending[resource] = state
            return pending.count == 1
        }
        if isFirst {
            self.eventLoop.scheduleTask(in: Self.period) { self.write() }
        }
    }

    /// Writes what waits.
    package func write() {
        let all = self.pending.withLock { pending in
            defer { pending = [:] }
            return pending
        }
        for (resource, state) in all { self.store.keep(state, of: resource) }
    }

    /// The device is registered no more.
    package func forget(_ di: DeviceID) {
        self.pending.withLock { pending in pending = pending.filter { $0.key.di != di } }
        self.store.forget(di)
    }
}
