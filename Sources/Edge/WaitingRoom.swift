import Cloud
import CoAP
import NIOCore

/// The requests that have no route to go by: those whose route is being looked up, and those whose device is between
/// two pods. Per device they are kept, and leave, in the order they came to the edge.
///
/// It belongs to one event loop. It does nothing itself: each event gives the steps to take, in their order.
final class WaitingRoom {
    /// How the store is asked.
    enum Question: Hashable, Sendable {
        case find
        /// Also notes this edge as waiting.
        case wait
    }

    enum Step: Sendable {
        case send(Delivery, DeliveryMachine.Attempt)
        case answer(Delivery, Response)
        case explain(Delivery, Response)
        case ask(Question, DeviceID)
        /// `timeReached` wants to be called then.
        case schedule(DeviceID, NIODeadline)
    }

    private struct Queue {
        /// In the order of their numbers.
        var deliveries: [Delivery] = []
        var asking: Question?
        /// The store may lose what it has to tell, so the room also looks itself.
        var nextLook: NIODeadline?
        var looks = 0
        var timer: NIODeadline?
    }

    private static let pauses: [TimeAmount] = [.milliseconds(250), .milliseconds(500), .seconds(1), .seconds(2)]
    /// Timers are not cancelled, only looked at when they fire: so none is set far ahead.
    private static let longestTimer: TimeAmount = .seconds(1)

    private let limits: EdgeLimits
    private var queues: [DeviceID: Queue] = [:]
    private(set) var bytes = 0
    /// Those who wait, by owner; without those that register an observation, of which there are so many anyway.
    private var waiting: [String: Int] = [:]
    private var isClosed = false

    init(limits: EdgeLimits) {
        self.limits = limits
    }

    /// How many are here.
    var count: Int { self.queues.values.reduce(0) { $0 + $1.deliveries.count } }

    /// Whether requests for the device are here.
    func hasRequests(for di: DeviceID) -> Bool { self.queues[di] != nil }

    /// A request whose route must be looked up, its machine says.
    /// - Parameter remembered: a route that was learnt since, for who has nobody to wait behind.
    func enter(_ delivery: Delivery, remembered: Route?, now: NIODeadline) -> [Step] {
        if let remembered, self.queues[delivery.di] == nil {
            var delivery = delivery
            let found = FoundRoute(route: remembered, lease: .held, age: .zero)
            if case .send(let attempt) = delivery.machine.found(.route(found), now: now) {
                return [.send(delivery, attempt)]
            }
        }
        guard self.bytes + delivery.size <= self.limits.waitingBytes else {
            var delivery = delivery
            let response = delivery.machine.turnedAway()
            return [.answer(delivery, response)]
        }
        self.bytes += delivery.size
        var queue = self.queues.removeValue(forKey: delivery.di) ?? Queue()
        // Nearly always the last: only what came back from a pod has an older number.
        let index = queue.deliveries.lastIndex { $0.number < delivery.number }.map { $0 + 1 } ?? 0
        queue.deliveries.insert(delivery, at: index)
        var steps: [Step] = []
        if queue.asking == nil {
            queue.asking = .find
            steps.append(.ask(.find, delivery.di))
        }
        self.keep(queue, of: delivery.di, now, &steps)
        return steps
    }

    /// The store has answered.
    func found(_ found: DeliveryMachine.Found, of di: DeviceID, by question: Question, now: NIODeadline) -> [Step] {
        guard var queue = self.queues.removeValue(forKey: di) else { return [] }
        queue.asking = nil
        var steps: [Step] = []
        let isBetween = self.tell(found, &queue, now, &steps)
        guard !queue.deliveries.isEmpty else { return steps }
        if isBetween, question == .find {
            // The claim waited for may be made before the edge is known to wait: so it looks again in the same step.
            queue.asking = .wait
            steps.append(.ask(.wait, di))
        } else if isBetween {
            let look = now + Self.pauses[min(queue.looks, Self.pauses.count - 1)]
            queue.looks += 1
            queue.nextLook = min(queue.nextLook ?? look, look)
        }
        self.keep(queue, of: di, now, &steps)
        return steps
    }

    /// The store tells of a route that was claimed or asserted just now.
    func heard(_ route: Route, now: NIODeadline) -> [Step] {
        guard var queue = self.queues.removeValue(forKey: route.di) else { return [] }
        var steps: [Step] = []
        let found = FoundRoute(route: route, lease: .held, age: .zero)
        let isBetween = self.tell(.route(found), &queue, now, &steps)
        guard !queue.deliveries.isEmpty else { return steps }
        if isBetween {
            // What was heard did not help, and the store has told all who waited.
            let look = now + Self.pauses[0]
            queue.nextLook = min(queue.nextLook ?? look, look)
        }
        self.keep(queue, of: route.di, now, &steps)
        return steps
    }

    /// A timer has fired.
    func timeReached(_ di: DeviceID, now: NIODeadline) -> [Step] {
        guard var queue = self.queues.removeValue(forKey: di) else { return [] }
        if let timer = queue.timer, timer <= now { queue.timer = nil }
        var steps: [Step] = []
        var staying: [Delivery] = []
        for var delivery in queue.deliveries {
            switch delivery.machine.deadlineReached(now: now) {
            case .goOn:
                staying.append(delivery)
            case .answer(let response):
                self.leave(&delivery)
                steps.append(.answer(delivery, response))
            }
        }
        queue.deliveries = staying
        guard !staying.isEmpty else { return steps }
        if queue.asking == nil, let look = queue.nextLook, look <= now {
            queue.nextLook = nil
            queue.asking = .wait
            steps.append(.ask(.wait, di))
        }
        self.keep(queue, of: di, now, &steps)
        return steps
    }

    /// From now on nobody waits: who does is answered, and who would is as well.
    func close() -> [Step] {
        self.isClosed = true
        var steps: [Step] = []
        for (di, queue) in self.queues {
            // What is being looked up may still turn out to be live.
            guard queue.asking == nil else { continue }
            for var delivery in queue.deliveries {
                self.leave(&delivery)
                let response = delivery.machine.cutShort()
                steps.append(.answer(delivery, response))
            }
            self.queues[di] = nil
        }
        return steps
    }

    // MARK: Inside

    /// Tells all of a device what was found.
    /// - Returns: whether one is left that waits for the next claim.
    private func tell(
        _ found: DeliveryMachine.Found, _ queue: inout Queue, _ now: NIODeadline, _ steps: inout [Step]
    ) -> Bool {
        var staying: [Delivery] = []
        var isBetween = false
        var held: (pace: DeliveryMachine.Pace, uid: String)?
        for var delivery in queue.deliveries {
            let action: DeliveryMachine.FoundAction
            if let held, held.uid == delivery.uid {
                // Who comes later does not overtake who waits. Another's request is another's: whose device it is
                // says the route.
                action = delivery.machine.heldBack(held.pace, now: now)
            } else {
                action = delivery.machine.found(found, now: now)
            }
            // Without a store there is nothing to wait for.
            if case .wait(let pace) = action, case .route = found { held = (pace, delivery.uid) }
            let step: Step
            switch action {
            case .send(let attempt):
                self.leave(&delivery)
                step = .send(delivery, attempt)
            case .answer(let response):
                self.leave(&delivery)
                step = .answer(delivery, response)
            case .explain(let response):
                self.leave(&delivery)
                step = .explain(delivery, response)
            case .wait(let pace):
                if let refusal = self.refusal(of: &delivery, staying: staying.count) {
                    self.leave(&delivery)
                    step = .answer(delivery, refusal)
                    break
                }
                switch pace {
                case .betweenPods:
                    isBetween = true
                case .settling(let pause):
                    let look = now + TimeAmount(pause)
                    queue.nextLook = min(queue.nextLook ?? look, look)
                }
                staying.append(delivery)
                continue
            }
            steps.append(step)
        }
        queue.deliveries = staying
        return isBetween
    }

    /// It would wait. Why it may not; nil: it does.
    private func refusal(of delivery: inout Delivery, staying: Int) -> Response? {
        if self.isClosed { return delivery.machine.cutShort() }
        guard staying < self.limits.waitersPerDevice else { return delivery.machine.turnedAway() }
        guard !delivery.isWaiting, delivery.observation == nil else { return nil }
        guard self.waiting[delivery.uid, default: 0] < self.limits.waitersPerOwner else {
            return delivery.machine.turnedAway(.tooManyWaiting(self.limits))
        }
        self.waiting[delivery.uid, default: 0] += 1
        delivery.isWaiting = true
        return nil
    }

    private func leave(_ delivery: inout Delivery) {
        self.bytes -= delivery.size
        guard delivery.isWaiting else { return }
        delivery.isWaiting = false
        let left = self.waiting[delivery.uid, default: 1] - 1
        self.waiting[delivery.uid] = left > 0 ? left : nil
    }

    private func keep(_ queue: Queue, of di: DeviceID, _ now: NIODeadline, _ steps: inout [Step]) {
        var queue = queue
        var wanted = now + Self.longestTimer
        for delivery in queue.deliveries { wanted = min(wanted, delivery.machine.deadline) }
        if queue.asking == nil, let look = queue.nextLook { wanted = min(wanted, look) }
        if queue.timer.map({ $0 > wanted }) ?? true {
            queue.timer = wanted
            steps.append(.schedule(di, wanted))
        }
        self.queues[di] = queue
    }
}
