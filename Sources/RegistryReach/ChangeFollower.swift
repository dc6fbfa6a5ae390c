package import Cloud
package import CoAP
package import Logging
import OCF
import ServiceLifecycle
import Synchronization

/// Follows what is taken away: with one request at the registry at any time, held there until something changes. What
/// it hears of is taken out of the cache and told to whoever ends sessions, in the order of commits.
///
/// The request is a short one, since a registry that froze is noticed only by its silence: another one is asked after
/// 1.5 s, so that what was taken back is over within 2 s.
package final class ChangeFollower: Service {
    package struct Times: Hashable, Sendable {
        /// How long the registry may hold a request.
        package var wait: Duration
        /// How long the answer may take after that.
        package var grace: Duration
        /// Whoever has not heard of a registry for so long is not current.
        package var currentFor: Duration
        /// How many logins are verified a second.
        package var verifiedPerSecond: Int

        package init(
            wait: Duration = .seconds(1), grace: Duration = .milliseconds(500), currentFor: Duration = .seconds(30),
            verifiedPerSecond: Int = 500
        ) {
            self.wait = wait
            self.grace = grace
            self.currentFor = currentFor
            self.verifiedPerSecond = max(1, verifiedPerSecond)
        }
    }

    private let caller: String
    private let changes: ImpatientResponder
    private let logins: ImpatientResponder
    private let cache: IdentityCache
    private let times: Times
    private let logger: Logger
    private let changed: @Sendable (Change) -> Void
    private let sessions: @Sendable (_ missedUpTo: Int64) async -> [Login]
    private let verifications: AsyncStream<Int64>
    private let verify: AsyncStream<Int64>.Continuation

    /// - Parameters:
    ///   - registry: reaches a registry; another one after a failure, if there is one.
    ///   - caller: which of our programs asks.
    ///   - changed: is told of each change, in order; must return at once. Of a login that turns out to be over it is
    ///     told as of a change of its family, or of its device where the family is not known.
    ///   - sessions: the logins behind the sessions there are now, for when changes up to that one were missed. What is
    ///     not among them, and was granted without knowing of that change, must not become a session.
    package init(
        _ registry: any Responder, caller: String, cache: IdentityCache, times: Times = Times(), logger: Logger,
        changed: @escaping @Sendable (Change) -> Void = { _ in },
        sessions: @escaping @Sendable (_ missedUpTo: Int64) async -> [Login] = { _ in [] }
    ) {
        self.caller = caller
        self.changes = ImpatientResponder(registry)
        self.logins = ImpatientResponder(registry)
        self.cache = cache
        self.times = times
        self.logger = logger
        self.changed = changed
        self.sessions = sessions
        (self.verifications, self.verify) = AsyncStream.makeStream(bufferingPolicy: .bufferingNewest(1))
    }

    /// When a registry last said where the change log stands; nil: never.
    package var lastHeard: ContinuousClock.Instant? { self.cache.lastHeard }

    /// Whether what is taken back reaches this program.
    package var isCurrent: Bool {
        self.lastHeard.map { self.cache.now() - $0 < self.times.currentFor } ?? false
    }

    package func run() async {
        await cancelWhenGracefulShutdown {
            await withDiscardingTaskGroup { group in
                group.addTask { await self.follow() }
                group.addTask { await self.verifyWhenAsked() }
            }
        }
    }

    // MARK: Following

    private func follow() async {
        var machine = FollowerMachine()
        while !Task.isCancelled {
            let hadComplained = machine.hasComplained
            switch await self.poll(after: machine.position) {
            case .success(let answer):
                if hadComplained { self.logger.info("following the change log again") }
                // In this order: an entry must not be used between the word of the registry and the change.
                for action in machine.answered(answer) { self.carryOut(action, machine) }
                self.cache.heard(registryTime: answer.now)
            case .failure(let error):
                guard !Task.isCancelled else { return }
                let (wait, complain) = machine.failed()
                if complain {
                    self.logger.info("cannot follow the change log: trying on", metadata: ["error": "\(error)"])
                }
                // A cancelled sleep ends the loop at once.
                try? await Task.sleep(for: wait)
            }
        }
    }

    private func carryOut(_ action: FollowerMachine.Action, _ machine: FollowerMachine) {
        self.cache.learn(action, machine)
        switch action {
        case .begin(let last):
            self.verify.yield(machine.told(last))
        case .apply(let change):
            var change = change
            change.sequence = machine.told(change.sequence)
            self.changed(change)
        case .gap(let last):
            self.logger.info("changes were missed: dropping what was cached, verifying every session")
            self.verify.yield(machine.told(last))
        }
    }

    private func poll(after: Int64?) async -> Result<ChangesAnswer, RegistryError> {
        let request = ChangesRequest(after: after, wait: after == nil ? .zero : self.times.wait)
        let deadline = request.wait + self.times.grace
        return await self.changes.bounded(deadline) {
            let client = RegistryClient(self.changes, caller: self.caller)
            do throws(RegistryError) {
                return .success(try await client.changes(request, call: Self.call(deadline)))
            } catch {
                return .failure(error)
            }
        }
    }

    private static func call(_ deadline: Duration) -> RegistryClient.Call {
        RegistryClient.Call(requestID: "changes", deadline: deadline)
    }

    // MARK: Verifying

    private func verifyWhenAsked() async {
        for await missed in self.verifications {
            var logins = await self.sessions(missed)[...]
            while !logins.isEmpty, !Task.isCancelled {
                let batch = Array(logins.prefix(RegistryProtocol.maximumLogins))
                let answer = await self.gone(among: batch)
                switch answer {
                case .success(let gone):
                    logins = logins.dropFirst(batch.count)
                    for login in gone { self.changed(self.end(of: login)) }
                    // A cancelled sleep ends the loop at once, here and below.
                    try? await Task.sleep(for: .seconds(batch.count) / self.times.verifiedPerSecond)
                case .failure:
                    try? await Task.sleep(for: FollowerMachine.backOff.upperBound)
                }
            }
        }
    }

    private func gone(among logins: [Login]) async -> Result<[Login], RegistryError> {
        let deadline = Duration.seconds(5)
        return await self.logins.bounded(deadline) {
            let client = RegistryClient(self.logins, caller: self.caller)
            do throws(RegistryError) {
                return .success(try await client.gone(among: logins, call: Self.call(deadline)))
            } catch {
                return .failure(error)
            }
        }
    }

    private func end(of login: Login) -> Change {
        Change(
            sequence: 0, kind: login.family == nil ? .device : .family,
            subject: login.family?.text ?? login.di.text, at: self.cache.registryNow ?? Timestamp(milliseconds: 0))
    }
}
