import CBOR
package import Cloud
import CoAP
package import NIOCore
import OCF
import Synchronization

/// Takes down what the devices of this pod say to whoever observes them, for when they cannot be asked.
///
/// Of each resource the newest state is written, at most once in `period`: a device may say something ten times a
/// second. While the store cannot be reached they wait. Bounded in resources and bytes that wait; those beyond are not
/// kept. A few are written at a time: the
/// commands of sign-ins take the same way to the store, and must not queue behind those of states.
package final class StateKeeper: Sendable {
    /// What was heard, as `said` knows it again.
    struct Note: Hashable, Sendable {
        fileprivate let order: StateOrder
        fileprivate let at: NIODeadline
    }

    private struct Waiting {
        var state: StoredState
        var at: NIODeadline
    }

    private struct State {
        var waiting: [StoredResource: Waiting] = [:]
        var bytes = 0
        /// Those whose turn it is.
        var due: [StoredResource] = []
        var underWay = 0
        var isScheduled = false

        mutating func remove(_ resource: StoredResource) -> Waiting? {
            guard let waiting = self.waiting.removeValue(forKey: resource) else { return nil }
            self.bytes -= Self.size(waiting.state, resource)
            return waiting
        }

        /// - Returns: false if there is no room.
        mutating func put(_ waiting: Waiting, of resource: StoredResource) -> Bool {
            let size = Self.size(waiting.state, resource)
            let old = self.waiting[resource].map { Self.size($0.state, resource) } ?? 0
            guard old > 0 || self.waiting.count < StateKeeper.maximumWaiting,
                self.bytes - old + size <= StateKeeper.maximumBytes
            else { return false }
            self.bytes += size - old
            self.waiting[resource] = waiting
            return true
        }

        private static func size(_ state: StoredState, _ resource: StoredResource) -> Int {
            state.payload.count + resource.key.utf8.count + 1
        }
    }

    /// How long a state may wait to be written, while the store keeps up.
    package static let period: TimeAmount = .seconds(1)
    static let maximumWaiting = 20_000
    static let maximumBytes = 16 * 1024 * 1024
    /// Written at a time, and so at most in front of somebody's sign-in.
    static let maximumUnderWay = 32
    /// Resources of one batch.
    private static let maximumBatch = StoredStateLimits.perDevice

    package let mode: StoredStateMode
    private let store: any StateStore
    private let eventLoop: any EventLoop
    private let numbers = Atomic<UInt64>(0)
    private let state = Mutex(State())

    /// - Parameter group: one of its loops writes to the store, which must not block it.
    package init(mode: StoredStateMode, store: any StateStore, group: any EventLoopGroup) {
        self.mode = mode
        self.store = store
        self.eventLoop = group.next()
    }

    /// What the answers to one request tell the state of.
    enum Subject: Hashable, Sendable {
        case resource(StoredResource)
        /// Of many resources at once.
        case batch

        /// - Parameter request: as the device sees it.
        init(of request: Request, di: DeviceID) {
            self =
                request.isBatchOfAll
                ? .batch
                : .resource(
                    StoredResource(
                        di: di, path: request.options.path ?? [], queries: request.options.queries ?? []))
        }
    }

    /// A device said this of `subject`, just now.
    @discardableResult
    func heard(_ response: Response, of subject: Subject, in session: Session) -> Note? {
        guard self.mode != .off, response.code == .content else { return nil }
        let note = Note(
            order: StateOrder(
                epoch: session.epoch, number: self.numbers.wrappingAdd(1, ordering: .relaxed).newValue),
            at: .now())
        self.said(response, of: subject, in: session, note)
        return note
    }

    /// A device said this of `subject` when it was noted so: the store may have lost it since.
    func said(_ response: Response, of subject: Subject, in session: Session, _ note: Note) {
        guard let payload = response.payload else { return }
        switch subject {
        case .batch:
            self.saidBatch(payload, of: session, note)
        case .resource(let resource):
            self.keep(
                Array(payload.readableBytesView), format: response.options.contentFormat?.rawValue, of: resource,
                session, note)
        }
    }

    /// A batch has the state of many resources: `[{href, rep}, …]` (OCF Core §7.6.3.3).
    private func saidBatch(_ payload: ByteBuffer, of session: Session, _ note: Note) {
        for (href, state) in Self.entries(payload).prefix(Self.maximumBatch) {
            guard let target = DeviceHref(href, di: session.di) else { continue }
            self.keep(
                Array(state.encoded().readableBytesView), format: ContentFormat.ocfCBOR.rawValue,
                of: StoredResource(di: session.di, path: target.path, queries: target.queries), session, note)
        }
    }

    private static func entries(_ payload: ByteBuffer) -> [(href: String, state: DataItem)] {
        ((try? DataItem(decoding: payload))?.elements ?? []).compactMap { entry in
            guard let href = entry["href"]?.string, let state = entry["rep"] else { return nil }
            return (href, state)
        }
    }

    /// Whether that is a batch with a state in it, and not a list of links.
    static func isBatch(_ response: Response) -> Bool {
        response.payload.map { !Self.entries($0).isEmpty } ?? false
    }

    private func keep(
        _ payload: [UInt8], format: UInt16?, of resource: StoredResource, _ session: Session, _ note: Note
    ) {
        let state = StoredState(
            uid: session.uid, payload: payload, contentFormat: format, age: .zero, order: note.order)
        guard StoredStateLimits.takes(state, of: resource) else { return }
        let pause: TimeAmount? = self.state.withLock { all in
            // A session that was taken over may have its last word after the first of the new one.
            if let old = all.waiting[resource], old.state.order > note.order { return nil }
            guard all.put(Waiting(state: state, at: note.at), of: resource) else { return nil }
            // All devices may have something to say at once: as when the store was lost.
            if all.due.isEmpty, all.underWay == 0, all.waiting.count == Self.maximumWaiting / 4 { return .zero }
            guard !all.isScheduled else { return nil }
            all.isScheduled = true
            return Self.period
        }
        if let pause { self.eventLoop.scheduleTask(in: pause) { self.write() } }
    }

    /// Writes what waits.
    package func write() {
        self.state.withLock { all in
            all.due = Array(all.waiting.keys)
        }
        self.proceed()
    }

    private func proceed() {
        while let (resource, waiting) = self.next() {
            var state = waiting.state
            state.age = Duration(.now() - waiting.at)
            self.store.keep(state, of: resource) { isKept in
                // Not here: a store may be done at once, within the call.
                self.eventLoop.execute { self.written(resource, again: isKept ? nil : waiting) }
            }
        }
    }

    /// - Parameter again: what the store could not be reached for.
    private func written(_ resource: StoredResource, again: Waiting?) {
        let isLast = self.state.withLock { all in
            all.underWay -= 1
            if let again {
                // Not all the others as well: they wait for the next time together.
                all.due = []
                if all.waiting[resource] == nil { _ = all.put(again, of: resource) }
            }
            guard all.due.isEmpty, all.underWay == 0 else { return false }
            // What came meanwhile has its turn after the next period.
            all.isScheduled = !all.waiting.isEmpty
            return all.isScheduled
        }
        if isLast {
            self.eventLoop.scheduleTask(in: Self.period) { self.write() }
        } else {
            self.proceed()
        }
    }

    private func next() -> (StoredResource, Waiting)? {
        self.state.withLock { all in
            guard all.underWay < Self.maximumUnderWay else { return nil }
            while let resource = all.due.popLast() {
                guard let waiting = all.remove(resource) else { continue }
                all.underWay += 1
                return (resource, waiting)
            }
            // Whoever was to be written is forgotten; the next one to come waits for its time as ever.
            if all.underWay == 0 { all.isScheduled = false }
            return nil
        }
    }

    /// The device is registered no more.
    package func forget(_ di: DeviceID) {
        self.state.withLock { all in
            for resource in all.waiting.keys where resource.di == di { _ = all.remove(resource) }
        }
        self.store.forget(di)
    }
}

extension Request {
    /// Whether the answers are batches of the states of all resources.
    package var isBatchOfAll: Bool { self.isBatch && self.options.path == ["oic", "res"] }
}
