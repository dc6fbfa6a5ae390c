import CBOR
package import Cloud
package import CoAP

/// What pods say to each other over the pod port, besides requests for devices: CBOR maps under `/pod`, answered only
/// to requests that carry the internal option `caller`, which no device, client or HTTP peer can send.
package enum PodMessage {
    /// The first segment, which no device can be called.
    package static let root = "pod"
    package static let superseded = [root, "superseded"]
    package static let probe = [root, "probe"]

    fileprivate static func post(_ path: [String], _ item: DataItem, from pod: Pod) -> Request {
        var request = Request(.post, path: path, payload: item.encoded())
        request.options.contentFormat = .cbor
        request.options.caller = pod.name
        return request
    }

    fileprivate static func item(of request: Request) -> DataItem? {
        let limits = DecodingLimits(bytes: 1024, depth: 2, items: 16)
        return request.payload.flatMap { try? DataItem(decoding: $0, limits: limits) }
    }

    fileprivate static func epoch(_ item: DataItem) -> UInt64? {
        item["epoch"]?.integer.flatMap { UInt64(exactly: $0) }
    }
}

/// `POST pod/superseded`: the device has a session with this epoch in this pod. Acknowledged with 2.04 once nothing is
/// written to the device any more under a smaller epoch.
///
/// A pod whose own session is the newer one acknowledges too, and asserts its route: whoever told believes the route to
/// be his. Epoch 0 therefore says: the route is free, whoever has a session may assert it.
package struct TakeoverNotice: Hashable, Sendable {
    package let di: DeviceID
    package let epoch: UInt64
    /// The name of the pod whose session it is.
    package let pod: String

    package init(di: DeviceID, epoch: UInt64, pod: String) {
        self.di = di
        self.epoch = epoch
        self.pod = pod
    }

    package init?(_ request: Request) {
        guard let item = PodMessage.item(of: request), let di = item["di"]?.string.flatMap({ try? DeviceID($0) }),
            let epoch = PodMessage.epoch(item), let pod = item["pod"]?.string
        else { return nil }
        self.init(di: di, epoch: epoch, pod: pod)
    }

    package func request(from caller: Pod) -> Request {
        PodMessage.post(
            PodMessage.superseded,
            .map(["di": .text(self.di.text), "epoch": .unsigned(self.epoch), "pod": .text(self.pod)]), from: caller)
    }
}

/// `POST pod/probe`: whether the device of this session answers a Ping. 2.05 with the address of its connection's other
/// end if it does, 4.04 if it does not or there is no such session.
package struct SessionProbe: Hashable, Sendable {
    package let di: DeviceID
    package let epoch: UInt64

    package init(di: DeviceID, epoch: UInt64) {
        self.di = di
        self.epoch = epoch
    }

    package init?(_ request: Request) {
        guard let item = PodMessage.item(of: request), let di = item["di"]?.string.flatMap({ try? DeviceID($0) }),
            let epoch = PodMessage.epoch(item)
        else { return nil }
        self.init(di: di, epoch: epoch)
    }

    package func request(from caller: Pod) -> Request {
        PodMessage.post(
            PodMessage.probe, .map(["di": .text(self.di.text), "epoch": .unsigned(self.epoch)]), from: caller)
    }
}
