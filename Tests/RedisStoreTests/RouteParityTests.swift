import Cloud
import RedisStore
import TestSupport
import Testing

@Suite("Memory and Redis decide alike")
struct RouteParityTests {
    private enum Step: Sendable {
        case claim(pod: Int, floor: Int?, replacing: Int?)
        /// With one of the epochs seen, or none: one that is an hour beyond them all.
        case assert(pod: Int, epoch: Int?)
        case mark(pod: Int, epoch: Int, Route.State)
        case drop(pod: Int, epoch: Int)
        case advance(seconds: Int)
        case renew(pod: Int)
    }

    /// Epochs seen so far, by number, so that both stores can be given "the same" one.
    private struct Run {
        let bench: RouteBench
        var epochs: [UInt64] = []
        /// Redis then knows nothing of the device's epochs: pods bring what they have seen.
        var wasDropped = false

        func epoch(_ number: Int) -> UInt64 { self.epochs.isEmpty ? 1 : self.epochs[number % self.epochs.count] }

        /// A route without what differs: which of the known epochs it has, instead of the epoch.
        func shape(_ route: Route?) -> String {
            guard let route else { return "none" }
            let rank = self.epochs.firstIndex(of: route.epoch).map { "\($0)" } ?? "?"
            return "\(route.pod.name) #\(rank) \(route.state) \(route.takeovers)"
        }

        /// Redis forgets a device that left by its own clock, which the test does not move.
        private mutating func expire() async throws {
            guard try await self.bench.find() == nil else { return }
            self.wasDropped = true
            guard let client = self.bench.client else { return }
            let key = client.configuration.keyPrefix + "route:{\(self.bench.di.text)}"
            _ = try await client.ask(RedisCommand("DEL", key), within: .seconds(60)).get()
        }

        mutating func play(_ step: Step) async throws -> String {
            var told = ""
            switch step {
            case .claim(let pod, let floor, let replacing):
                let least = self.wasDropped ? self.epochs.max() ?? 0 : 0
                let outcome = try await self.bench.outcome(
                    "pod-\(pod)", floor: max(least, floor.map { self.epoch($0) } ?? 0),
                    replacing: replacing.map { self.epoch($0) })
                switch outcome {
                case .claimed(let claim):
                    let order = self.epochs.allSatisfy { $0 < claim.route.epoch } ? "greatest" : "not the greatest"
                    self.epochs.append(claim.route.epoch)
                    told = "claimed \(order) \(self.shape(claim.route)) instead of \(self.shape(claim.displaced))"
                case .contested(let holder): told = "contested \(self.shape(holder))"
                }
            case .assert(let pod, let number):
                // Made from the greatest: an hour beyond any other might fall together with one more epoch in one
                // store and not in the other, as their clocks are not read at the same moment.
                let epoch = number.map { self.epoch($0) } ?? (self.epochs.max() ?? 0) + 3_600_000_000
                if !self.epochs.contains(epoch) { self.epochs.append(epoch) }
                switch try await self.bench.assert("pod-\(pod)", epoch) {
                case .ours(let displaced): told = "ours instead of \(self.shape(displaced))"
                case .superseded(let other): told = "superseded by \(self.shape(other))"
                }
            case .mark(let pod, let epoch, let state):
                self.bench.store.mark(
                    self.bench.di, pod: Pod(name: "pod-\(pod)", address: "pod-\(pod):8081"), epoch: self.epoch(epoch),
                    as: state)
            case .drop(let pod, let epoch):
                self.wasDropped = true
                self.bench.store.drop(
                    self.bench.di, pod: Pod(name: "pod-\(pod)", address: "pod-\(pod):8081"), epoch: self.epoch(epoch))
            case .advance(let seconds):
                self.bench.clock.advance(.seconds(seconds))
                try await self.expire()
            case .renew(let pod):
                told = "lapsed \(try await self.bench.renew("pod-\(pod)").hadLapsed)"
            }
            let found = try await self.bench.find()
            let rest = found.map { "live \($0.isLive) wait \($0.isWorthWaiting) \(Presence($0).name)" } ?? ""
            return "\(told); now \(self.shape(found?.route)) \(rest)"
        }
    }

    private static func steps(_ generator: inout SeededGenerator, count: Int) -> [Step] {
        (0..<count).map { _ in
            let pod = Int.random(in: 0..<3, using: &generator)
            // Mostly of the last few epochs, since old ones are refused anyway.
            let epoch = Int.random(in: 0..<1000, using: &generator)
            switch Int.random(in: 0..<20, using: &generator) {
            case 0..<8:
                return .claim(
                    pod: pod, floor: Bool.random(using: &generator) ? epoch : nil,
                    replacing: Bool.random(using: &generator) ? epoch : nil)
            case 8..<11:
                return .assert(pod: pod, epoch: [epoch, epoch, nil].randomElement(using: &generator) ?? nil)
            case 11..<14:
                return .mark(
                    pod: pod, epoch: epoch, Route.State.allCases.randomElement(using: &generator) ?? .left)
            case 14: return .drop(pod: pod, epoch: epoch)
            case 15..<18:
                // In steps of five like all bounds of routes and leases, so that the real time that goes by meanwhile
                // makes no difference.
                return .advance(seconds: [5, 10, 15, 20, 55, 60, 65, 300].randomElement(using: &generator) ?? 5)
            default: return .renew(pod: pod)
            }
        }
    }

    @Test("Random sequences of claims, assertions, marks, drops and time have the same outcomes in both")
    func parity() async throws {
        try await withRoutes(.redis) { redis in
            for seed in 0..<UInt64(Rounds.scaled(60)) {
                var attempt = 0
                while true {
                    attempt += 1
                    let begun = ContinuousClock.now
                    guard let difference = try await self.difference(redis, seed: seed, attempt: attempt) else { break }
                    let span = ContinuousClock.now - begun
                    // On a machine that stood still meanwhile, a lease may run out between the one and the other.
                    if span > .seconds(4), attempt < 5 { continue }
                    Issue.record("seed \(seed) in \(span), \(difference)")
                    return
                }
            }
        }
    }

    /// Where the two part, nil if they do not.
    private func difference(_ redis: RouteBench, seed: UInt64, attempt: Int) async throws -> String? {
        var generator = SeededGenerator(seed: seed)
        let steps = Self.steps(&generator, count: 40)
        return try await withRoutes(.memory) { memory in
            let id = "device-\(seed)-\(attempt)"
            // A clock of its own: the shift of the shared one grows on.
            var one = Run(bench: memory.with(id))
            var other = Run(bench: redis.with(id))
            for pod in 0..<3 {
                for bench in [memory, redis] { try await bench.renew("pod-\(pod)") }
            }
            for (index, step) in steps.enumerated() {
                let expected = try await one.play(step)
                let actual = try await other.play(step)
                guard expected == actual else {
                    let before = index == 0 ? "" : " after \(steps[index - 1])"
                    return "step \(index) \(step)\(before):\n memory \(expected)\n redis  \(actual)"
                }
            }
            return nil
        }
    }
}

extension Presence {
    fileprivate var name: String {
        switch self {
        case .online: "online"
        case .offline(let since): since == nil ? "offline" : "left"
        case .unknown: "unknown"
        }
    }
}
