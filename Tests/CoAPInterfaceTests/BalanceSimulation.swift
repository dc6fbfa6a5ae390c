import Cloud
import NIOCore
import TestSupport

@testable import CoAPInterface

/// Pods that follow `Rebalancing`, devices that are away for 2–4 s after a Release, and a balancer in front, on a clock
/// of its own: no sockets.
final class BalanceSimulation {
    enum Balancer {
        /// Brings a device to any pod, each as likely (kube-proxy).
        case blind
        /// Brings a device to where it was.
        case sticky
        /// Brings a device to the pod with the fewest sessions.
        case leastConnections
    }

    private struct Device {
        let di: DeviceID
        var signedIn: NIODeadline
        var moved: NIODeadline?
    }

    private struct Pod {
        let name: String
        var rule: Rebalancing
        var devices: [Device] = []
        var born: NIODeadline
        var counted: (sessions: Int, at: NIODeadline)
        var nextCount: NIODeadline
        var nextLook: NIODeadline
        /// How often its count reaches the others.
        var countEvery: TimeAmount
        var isDraining = false
    }

    private struct Traveller {
        var device: Device
        let from: Int
        let back: NIODeadline
    }

    private static let step = TimeAmount.milliseconds(250)

    private var random: SeededGenerator
    private let balancer: Balancer
    private var pods: [Pod] = []
    private var away: [Traveller] = []
    private(set) var now = NIODeadline.uptimeNanoseconds(10_000_000_000_000)
    private(set) var moves = 0

    /// - Parameter pods: how many sessions each of the pods has, which have all been there for long.
    init(pods: [Int], balancer: Balancer = .blind, seed: UInt64 = 1) throws {
        self.random = SeededGenerator(seed: seed)
        self.balancer = balancer
        var number = 0
        for sessions in pods {
            self.add(born: self.now - .hours(1))
            for _ in 0..<sessions {
                number += 1
                self.pods[self.pods.count - 1].devices.append(
                    Device(di: try DeviceID("device-\(number)"), signedIn: self.now - .hours(1)))
            }
            self.pods[self.pods.count - 1].counted.sessions = sessions
        }
    }

    var shares: [Int] { self.pods.map(\.devices.count) }
    var views: [Rebalancing.View] { self.pods.map(\.rule.view) }
    var isAnyReleasing: Bool { self.pods.contains { $0.rule.view.rate > 0 } }
    var mean: Double { Double(self.shares.reduce(self.away.count, +)) / Double(self.pods.count) }

    /// The distance from even that the rule is to come within.
    var isEven: Bool {
        let mean = self.mean
        return self.shares.allSatisfy { abs(Double($0) - mean) <= max(0.1 * mean, 3 * mean.squareRoot()) }
    }

    func start(pods: Int) {
        for _ in 0..<pods { self.add(born: self.now) }
    }

    private func add(born: NIODeadline) {
        let phase = { (limit: Int64, random: inout SeededGenerator) in
            TimeAmount.milliseconds(Int64.random(in: 0..<limit, using: &random))
        }
        let name = "pod-\(self.pods.count)"
        self.pods.append(
            Pod(
                name: name, rule: Rebalancing(pod: name), born: born, counted: (0, self.now),
                nextCount: self.now + phase(3000, &self.random), nextLook: self.now + phase(2000, &self.random),
                countEvery: .seconds(3)))
    }

    /// The counts of a pod reach the others only so often from here on.
    func lag(pod: Int, every: TimeAmount) { self.pods[pod].countEvery = every }

    func drain(pod: Int) { self.pods[pod].isDraining = true }

    /// - Returns: after how many seconds `condition` was true; nil: not within `limit`.
    @discardableResult
    func run(upTo limit: Int, until condition: (BalanceSimulation) -> Bool = { _ in false }) -> Int? {
        let start = self.now
        while self.now < start + .seconds(Int64(limit)) {
            self.turn()
            if condition(self) { return Int((self.now - start).nanoseconds / 1_000_000_000) }
        }
        return nil
    }

    private func turn() {
        self.now = self.now + Self.step
        self.bringBack()
        for index in self.pods.indices {
            self.count(index)
            self.look(index)
            self.release(self.pods[index].rule.due(now: self.now), from: index)
        }
    }

    private func bringBack() {
        let now = self.now
        let back = self.away.filter { $0.back <= now }
        self.away.removeAll { $0.back <= now }
        for traveller in back {
            let index =
                switch self.balancer {
                case .blind: Int.random(in: 0..<self.pods.count, using: &self.random)
                case .sticky: traveller.from
                case .leastConnections:
                    self.pods.indices.min { self.pods[$0].devices.count < self.pods[$1].devices.count } ?? 0
                }
            var device = traveller.device
            device.signedIn = now
            device.moved = now
            self.pods[index].devices.append(device)
            self.pods[index].rule.signedIn(device.di)
        }
    }

    private func count(_ index: Int) {
        guard self.pods[index].nextCount <= self.now else { return }
        self.pods[index].nextCount = self.now + self.pods[index].countEvery
        self.pods[index].counted = (self.pods[index].devices.count, self.now)
    }

    private func look(_ index: Int) {
        guard self.pods[index].nextLook <= self.now else { return }
        self.pods[index].nextLook = self.now + Rebalancing.look
        let now = self.now
        let shares = self.pods.map { pod in
            LeasedPod(
                pod: Cloud.Pod(name: pod.name, address: ""), sessions: pod.counted.sessions, isDraining: pod.isDraining,
                age: .nanoseconds((now - pod.born).nanoseconds),
                countAge: .nanoseconds((now - pod.counted.at).nanoseconds))
        }
        self.pods[index].rule.looked(
            at: shares, sessions: self.pods[index].devices.count, hindrance: nil, now: now)
    }

    private func release(_ number: Int, from index: Int) {
        for _ in 0..<number {
            let now = self.now
            guard let free = self.free(in: self.pods[index].devices) else { return }
            self.pods[index].devices.swapAt(free, self.pods[index].devices.count - 1)
            let device = self.pods[index].devices.removeLast()
            self.pods[index].rule.releases(device.di, now: now)
            let absence = TimeAmount.milliseconds(Int64.random(in: 2000...4000, using: &self.random))
            self.away.append(Traveller(device: device, from: index, back: now + absence))
            self.moves += 1
        }
    }

    /// A pod picks at random until it finds one that may go.
    private func free(in devices: [Device]) -> Int? {
        guard !devices.isEmpty else { return nil }
        for _ in 0..<32 {
            let place = Int.random(in: 0..<devices.count, using: &self.random)
            let device = devices[place]
            let hasRested = device.moved.map { $0 + Rebalancing.rest <= self.now } ?? true
            if hasRested, device.signedIn + Rebalancing.settled <= self.now { return place }
        }
        return nil
    }
}
