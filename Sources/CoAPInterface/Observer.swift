import CoAP
import Synchronization

/// One observer of a device here: an edge, on behalf of somebody.
final class Observer: Sendable {
    private static let numbers = Atomic<UInt64>(0)

    /// Another one for each in this process.
    let id: ObservationTable.ObserverID
    private let event: @Sendable (ObservationEvent) -> Void
    private let isCancelledFlag = Atomic<Bool>(false)

    init(event: @escaping @Sendable (ObservationEvent) -> Void) {
        self.id = Self.numbers.wrappingAdd(1, ordering: .relaxed).newValue
        self.event = event
    }

    /// It may be gone before its request has reached the device's event loop.
    var isCancelled: Bool { self.isCancelledFlag.load(ordering: .acquiring) }

    func cancel() { self.isCancelledFlag.store(true, ordering: .releasing) }

    func tell(_ event: ObservationEvent) {
        if !self.isCancelled { self.event(event) }
    }
}
