import Cloud
import CoAP
import Edge
import Hop
import NIOCore

/// Requests to other pods, over their pod port.
struct PodsByHop: PodDelivery {
    let pool: HopPool

    var callersLoop: (any EventLoop)? { self.pool.callersLoop }

    func deliver(_ request: Request, to pod: Pod, answer: @escaping @Sendable (Response) -> Void) {
        guard let target = HopTarget(address: pod.address, name: pod.name) else {
            return answer(HopOutcome.unreachable("pod \(pod.name) has no address").response)
        }
        self.pool.send(request, to: target, answer: answer)
    }

    func observe(
        _ request: Request, at pod: Pod, event: @escaping @Sendable (ObservationEvent) -> Void
    ) -> ObservationHandle {
        guard let target = HopTarget(address: pod.address, name: pod.name) else {
            event(.ended(HopOutcome.unreachable("pod \(pod.name) has no address").response))
            return ObservationHandle {}
        }
        return self.pool.observe(request, at: target, event: event)
    }
}
