import Cloud
import CoAP
import NIOCore

/// One request on its way, and the way back of its answer. Whoever holds it finishes it or hands it on.
struct Delivery: Sendable {
    /// Its place in the order of arrival.
    let number: UInt64
    var request: Request
    let di: DeviceID
    let uid: String
    var machine: DeliveryMachine
    /// The event loop it came to the edge on; nil if none. It is sent from there, since each has connections of its own
    /// to other pods: what one client sent over one connection stays in its order.
    var origin: (any EventLoop)?
    /// The name of the pod it is at and counts as in flight.
    var pod: String?
    /// It counts among those that wait.
    var isWaiting = false
    /// Which observation it registers; nil if it is answered once.
    var observation: UInt64?
    var answer: @Sendable (Response) -> Void

    func answered(by answer: @escaping @Sendable (Response) -> Void) -> Delivery {
        var delivery = self
        delivery.answer = answer
        return delivery
    }

    /// About what it takes to keep the request.
    var size: Int {
        self.request.options.reduce(self.request.payload?.readableBytes ?? 0) { $0 + $1.value.readableBytes + 32 }
    }
}
