import CoAP

/// One observation over a connection between programs, for whoever asked. Lives on that connection's event loop.
///
/// Its end is told once; after a cancellation nothing is.
final class HopObservation {
    private let event: @Sendable (ObservationEvent) -> Void
    private(set) var isOver = false
    /// Set while it is on a connection: takes it off.
    var withdraw: (() -> Void)?

    init(event: @escaping @Sendable (ObservationEvent) -> Void) {
        self.event = event
    }

    func notified(_ response: Response) {
        guard !self.isOver else { return }
        self.event(.notified(response))
    }

    func ended(_ response: Response) {
        guard !self.isOver else { return }
        self.isOver = true
        self.withdraw = nil
        self.event(.ended(response))
    }

    func cancel() {
        self.isOver = true
        let withdraw = self.withdraw
        self.withdraw = nil
        withdraw?()
    }
}
