import Cloud
import CoAP
import CoAPTransport
import Logging
import NIOCore

/// The connections of one event loop to all targets. Everything happens on that loop.
final class HopLoop {
    private struct Slot {
        var machine: HopDialMachine
        /// The one that takes requests, or will.
        var link: HopLink?
        var lastAsked: NIODeadline
    }

    private let eventLoop: any EventLoop
    private let settings: HopPoolSettings
    private var slots: [HopTarget: Slot] = [:]
    /// Connections that only finish what is in flight.
    private var draining: [ObjectIdentifier: HopLink] = [:]
    private var sweeper: Scheduled<Void>?
    private var closedFor: String?

    init(eventLoop: any EventLoop, settings: HopPoolSettings) {
        self.eventLoop = eventLoop
        self.settings = settings
    }

    /// Open connections, and those that are being opened or finished.
    var connectionCount: Int { self.slots.values.count { $0.link != nil } + self.draining.count }

    func send(_ hop: HopRequest, to target: HopTarget) {
        if let reason = self.closedFor {
            hop.answer(HopOutcome.unreachable(reason).response)
            return
        }
        let now = NIODeadline.now()
        guard hop.deadline > now else {
            hop.answer(HopOutcome.late.response)
            return
        }
        if self.slots[target] == nil {
            guard self.makeRoom(now: now) else {
                hop.answer(HopOutcome.unreachable("too many other programs are being talked to").response)
                return
            }
            let machine = HopDialMachine(
                firstBackOff: self.settings.limits.firstBackOff, longestBackOff: self.settings.limits.longestBackOff)
            self.slots[target] = Slot(machine: machine, link: nil, lastAsked: now)
        }
        self.slots[target]?.lastAsked = now
        switch self.slots[target]?.machine.request(now: now) {
        case .dial:
            self.dial(target, first: hop)
        case .wait, .send:
            self.slots[target]?.link?.take(hop)
        case .refuse, nil:
            hop.answer(HopOutcome.unreachable("\(target) failed just now").response)
        }
    }

    private func dial(_ target: HopTarget, first hop: HopRequest) {
        let link = HopLink(
            target: target, eventLoop: self.eventLoop, limits: self.settings.limits, secrets: self.settings.secrets,
            me: self.settings.me
        ) { [weak self] link, change in
            if let self {
                self.changed(link, change)
            } else if case .returned(let hop) = change {
                hop.answer(HopOutcome.unreachable("this program is stopping").response)
            }
        }
        self.slots[target]?.link = link
        link.take(hop)
        link.dial(with: self.settings.dialer, tls: self.settings.tls)
        self.startSweeping()
    }

    private func changed(_ link: HopLink, _ change: HopLink.Change) {
        let target = link.target
        let isCurrent = self.slots[target]?.link === link
        switch change {
        case .opened:
            let failures = self.slots[target]?.machine.failures ?? 0
            self.slots[target]?.machine.opened()
            self.log(failures > 0 ? .info : .debug, "connection between programs opened", target)
        case .failed(let reason):
            guard isCurrent else { return }
            let isFirst = self.slots[target]?.machine.failures == 0
            self.slots[target]?.link = nil
            self.slots[target]?.machine.failed(jitter: .random(in: 0.5...1), now: .now())
            self.log(isFirst ? .warning : .debug, "the next program cannot be reached", target, reason)
        case .draining:
            self.draining[ObjectIdentifier(link)] = link
            guard isCurrent else { return }
            self.slots[target]?.link = nil
            self.slots[target]?.machine.ended()
        case .returned(let hop):
            self.send(hop, to: target)
        case .ended:
            self.draining[ObjectIdentifier(link)] = nil
            self.log(.debug, "connection between programs ended", target)
            guard isCurrent else { return }
            self.slots[target]?.link = nil
            self.slots[target]?.machine.ended()
        }
    }

    private func log(
        _ level: Logger.Level, _ message: Logger.Message, _ target: HopTarget, _ reason: String? = nil
    ) {
        var metadata: Logger.Metadata = ["peer.address": "\(target)", "peer.name": "\(target.name)"]
        if let reason { metadata["reason"] = "\(reason)" }
        self.settings.logger.log(level: level, message, metadata: metadata)
    }

    // MARK: Idle targets

    /// Whether one more target may be remembered: forgets the idlest, if need be.
    private func makeRoom(now: NIODeadline) -> Bool {
        guard self.slots.count >= self.settings.limits.maximumTargets else { return true }
        let idle = self.slots.filter { $0.value.link?.idleSince != nil || $0.value.link == nil }
        guard let oldest = idle.min(by: { $0.value.lastAsked < $1.value.lastAsked }) else { return false }
        self.slots[oldest.key] = nil
        self.retire(oldest.value.link, reason: "others are needed more")
        return true
    }

    private func startSweeping() {
        guard self.sweeper == nil, self.closedFor == nil else { return }
        let interval = max(.milliseconds(10), self.settings.limits.idle.scaled(by: 0.25))
        self.sweeper = self.eventLoop.assumeIsolated().scheduleTask(in: interval) { [weak self] in
            self?.sweep(now: .now())
        }
    }

    private func sweep(now: NIODeadline) {
        for (target, slot) in self.slots {
            if let idle = slot.link?.idleSince, idle + self.settings.limits.idle <= now {
                self.slots[target] = nil
                self.retire(slot.link, reason: "idle")
            } else if slot.link == nil, slot.machine.isForgettable(now: now) {
                self.slots[target] = nil
            }
        }
        self.sweeper = nil
        if !self.slots.isEmpty {
            self.startSweeping()
        }
    }

    /// Kept until it has said that it ended.
    private func retire(_ link: HopLink?, reason: String) {
        guard let link else { return }
        self.draining[ObjectIdentifier(link)] = link
        link.close(reason: reason)
    }

    // MARK: The end

    func closeAll(reason: String) {
        for link in self.slots.values.compactMap(\.link) + Array(self.draining.values) {
            link.close(reason: reason)
        }
    }

    func shutDown(reason: String) {
        self.closedFor = reason
        self.sweeper?.cancel()
        self.sweeper = nil
        self.closeAll(reason: reason)
    }
}
