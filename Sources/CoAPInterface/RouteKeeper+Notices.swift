import Cloud
import CoAP
import CoAPTransport
import Edge
import Logging
import NIOCore
import ServiceShell
import Synchronization

// What other pods are told, and what they tell.

extension RouteKeeper {
    /// How long a pod may take to acknowledge.
    private static let noticeTimeoutMilliseconds: UInt32 = 2000

    /// Tells a pod that a device has a newer session here, until it acknowledges.
    /// - Parameter over: called once, on any thread: it has acknowledged, or will not.
    func tell(
        _ other: Pod, of di: DeviceID, epoch: UInt64, over: (@Sendable () -> Void)? = nil
    ) {
        let notice = TakeoverNotice(di: di, epoch: epoch, pod: self.pod.name)
        let delivery = self.state.withLock { state in
            let delivery = state.notices.add(notice, to: other, now: .now())
            if let delivery, let over { state.waiters[delivery.key, default: []].append(over) }
            return delivery
        }
        guard let delivery else {
            self.metrics.noticed(.full)
            over?()
            return
        }
        self.send(delivery)
    }

    func send(_ delivery: TakeoverNotices.Delivery) {
        var request = delivery.notice.request(from: self.pod)
        request.options.deadlineMilliseconds = Self.noticeTimeoutMilliseconds
        guard let pods = self.pods else { return self.answered(delivery, isAcknowledged: true) }
        pods.deliver(request, to: delivery.key.pod) { response in
            self.answered(delivery, isAcknowledged: response.isFromPod && response.code == .changed)
        }
    }

    private func answered(_ delivery: TakeoverNotices.Delivery, isAcknowledged: Bool) {
        let outcome = self.state.withLock {
            $0.notices.answered(delivery, isAcknowledged: isAcknowledged, now: .now())
        }
        switch outcome {
        case .acknowledged:
            self.metrics.noticed(.acknowledged)
            self.noticeOver(delivery.key)
        case .waits:
            self.metrics.noticed(.repeated)
            self.routes.lease(of: delivery.key.pod) { result in
                guard case .success(let lease) = result else { return }
                guard self.state.withLock({ $0.notices.heard(lease, for: delivery) }) == .podGone else { return }
                self.metrics.noticed(.podGone)
                self.noticeOver(delivery.key)
            }
        case .podGone, .stale:
            break
        }
    }

    func noticeOver(_ key: TakeoverNotices.Key) {
        let waiters = self.state.withLock { $0.waiters.removeValue(forKey: key) } ?? []
        for waiter in waiters { waiter() }
    }

    /// Another pod has a newer session of a device.
    /// - Parameter acknowledge: called once, when nothing is written under a smaller epoch any more.
    func heard(_ notice: TakeoverNotice, acknowledge: @escaping @Sendable () -> Void) {
        self.epochs.observe(notice.epoch)
        let logger = self.logger
        let by = (epoch: notice.epoch, pod: notice.pod)
        self.sessions.supersede(notice.di, by: by, pod: self.pod.name) { outcome in
            // Before the answer, so that a session that begins because of it has its line after this one.
            logger.debug(
                "takeover acknowledged",
                metadata: .init([
                    .deviceID: notice.di.text, .podName: notice.pod, .sessionID: "\(notice.epoch)@\(self.pod.name)",
                    .outcome: "\(outcome)",
                ]))
            if outcome == .newer { self.assertNow(notice.di) }
            acknowledge()
        }
    }

    /// Whether the device of a session of this pod answers a Ping; with the address of its connection's other end.
    func probe(_ probe: SessionProbe, completion: @escaping @Sendable (_ alive: String?) -> Void) {
        guard let handle = self.sessions.find(probe.di), handle.session.epoch == probe.epoch else {
            return completion(nil)
        }
        handle.connection.onLoop { $0.probe(handle.session, completion: completion) }
    }
}

extension Response {
    /// Whether the pod itself answered, and not somebody on the way to it.
    var isFromPod: Bool { self.options.undelivered == nil && self.options.unknownOutcome == nil }
}
