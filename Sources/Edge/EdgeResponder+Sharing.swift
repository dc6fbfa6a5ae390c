import CoAP
import NIOCore
import OCF

// Those who observe the same on behalf of the same user share one observation at the pod: what `ObservationTable`
// decides is done here, on the edge's event loop. The first request lends its id and its deadline to the registration.

extension EdgeResponder {
    /// An observer comes, admitted as a request in flight and among those that stand.
    func join(
        _ observer: ObservationTable.ObserverID, _ delivery: Delivery, _ now: NIODeadline,
        _ event: @escaping @Sendable (ObservationEvent) -> Void
    ) {
        self.observations.value.observers[observer] = .init(uid: delivery.uid, event: event)
        let request = Self.shared(delivery.request, uid: delivery.uid)
        switch self.observations.value.table.join(request, isShared: !request.isBatch, as: observer) {
        case .begin(let upstream, var request):
            request.options.requestID = delivery.request.options.requestID
            var delivery = delivery
            delivery.request = request
            return self.begin(upstream.rawValue, delivery, now)
        case .wait:
            break
        case .tell(let response):
            event(.notified(response))
        case .full:
            // There is room for all that are admitted.
            self.leave(observer)
            event(.ended(.overloaded()))
        }
        // It has its answer, or waits for that of a request that counts itself.
        self.admission.release(delivery.uid)
    }

    /// An observer does not want to be told any more.
    func leave(_ observer: ObservationTable.ObserverID) {
        guard let gone = self.observations.value.observers.removeValue(forKey: observer) else { return }
        self.standing.release(gone.uid)
        switch self.observations.value.table.leave(observer) {
        case .nothing: break
        case .cancel(let upstream): self.remove(upstream.rawValue)
        }
    }

    /// Tells all who share an observation.
    func tell(_ event: ObservationEvent, _ id: UInt64) {
        switch self.observations.value.table.heard(event, of: .init(rawValue: id)) {
        case .nothing:
            break
        case .tell(let observers, let response):
            for observer in observers { self.observations.value.observers[observer]?.event(.notified(response)) }
        case .end(let observers, let response):
            for observer in observers {
                guard let gone = self.observations.value.observers.removeValue(forKey: observer) else { continue }
                self.standing.release(gone.uid)
                gone.event(.ended(response))
            }
        }
    }

    /// Others may join unless the device is being looked for: who comes then has an answer of its own, at once.
    func setOpen(_ id: UInt64) {
        guard let entry = self.observations.value.entries[id] else { return }
        self.observations.value.table.setOpen(!entry.machine.isLost, .init(rawValue: id))
    }

    /// What of a request matters to its answer.
    private static func shared(_ request: Request, uid: String) -> Request {
        var shared = request
        shared.options.fence = Fence(uid: uid)
        shared.options.deadlineMilliseconds = nil
        shared.options.requestID = nil
        if !LinkList.isAsked(for: request) { shared.options.endpoint = nil }
        return shared
    }
}
