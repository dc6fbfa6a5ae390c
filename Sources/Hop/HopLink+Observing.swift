import CoAP
import CoAPTransport
import NIOCore

// Observations over one connection. Until its first answer one takes a place in the other side's window as a request
// does, and afterwards one of so many observations.

extension HopLink {
    /// One on this connection.
    final class Observed {
        let hop: HopRequest
        let observation: HopObservation
        var handle: ObservationHandle?
        var isAnswered = false

        init(_ hop: HopRequest, _ observation: HopObservation) {
            self.hop = hop
            self.observation = observation
        }
    }

    func observe(_ hop: HopRequest, _ observation: HopObservation, _ request: Request, on connection: CoAPConnection) {
        guard let bound = self.bound else { return }
        self.nextObserved += 1
        let key = self.nextObserved
        let observed = Observed(hop, observation)
        self.observed[key] = observed
        observation.withdraw = { [weak self] in self?.drop(key) }
        observed.handle = connection.observe(request, deadline: hop.deadline) { result in
            bound.value.told(key, result)
        }
    }

    private func told(_ key: UInt64, _ result: Result<ObservationEvent, ExchangeError>) {
        guard let observed = self.observed[key] else { return }
        switch result {
        case .success(.notified(let response)):
            self.answered(observed)
            observed.observation.notified(response)
            // Whoever was just told may have cancelled. What this connection promises any more, it cannot keep.
            if self.isLeaving, self.observed[key] != nil {
                self.drop(key)
                observed.observation.ended(HopOutcome.leaving.response)
            }
        case .success(.ended(let response)):
            self.observed[key] = nil
            self.answered(observed)
            observed.observation.ended(response)
        case .failure(let error):
            self.observed[key] = nil
            self.answered(observed)
            observed.observation.withdraw = nil
            self.failed(observed.hop, error)
        }
    }

    /// Its place in the window is free, if it had one yet.
    private func answered(_ observed: Observed) {
        self.lastUsed = .now()
        guard !observed.isAnswered else { return }
        observed.isAnswered = true
        self.giveBack(observed.hop)
    }

    private func drop(_ key: UInt64) {
        guard let observed = self.observed.removeValue(forKey: key) else { return }
        self.answered(observed)
        observed.handle?.cancel()
    }

    /// The other side wants to go. Those that run have to begin anew elsewhere; those that wait for their first answer
    /// still get it.
    func endObservations() {
        for (key, observed) in self.observed where observed.isAnswered {
            self.drop(key)
            observed.observation.ended(HopOutcome.leaving.response)
        }
    }
}
