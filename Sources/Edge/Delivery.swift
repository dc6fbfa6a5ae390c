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
