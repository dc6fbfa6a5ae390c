import CBOR
import Cloud
package import NIOSSL
import Synchronization

/// Makes one-time codes for the devices of a fleet at the cloud's HTTP side, a few at a time.
package final class FleetProvisioning: Sendable {
    /// How many are asked for at one time.
    private static let parallel = 8
    private static let patience = Duration.seconds(20)

    /// What came of it, and how long the cloud took: not how long others were served first.
    typealias Completion = @Sendable (Result<Secret, ProvisioningFailure>, Duration) -> Void

    private struct Job: Sendable {
        let di: String
        let completion: Completion
    }

    private let door: HTTPDoor
    private let mediatorToken: String
    private let tls: NIOSSLContext?
    /// Codes that were made before anybody asked.
    private let ready = Mutex<[String: (Secret, Duration)]>([:])
    /// Unbounded, but each device has one at most.
    private let jobs: AsyncStream<Job>
    private let queue: AsyncStream<Job>.Continuation

    package init(door: HTTPDoor, mediatorToken: String, tls: NIOSSLContext?) {
        self.door = door
        self.mediatorToken = mediatorToken
        self.tls = tls
        (self.jobs, self.queue) = AsyncStream.makeStream()
    }

    /// Registers a user, and makes a mediator of theirs.
    /// - Returns: the mediator's token.
    package static func mediator(for uid: String, at door: HTTPDoor, tls: NIOSSLContext?) async throws -> String {
        let clock = Self.clock
        let user: String
        do {
            user = try await Provisioner.token(
                door, "/register/user", ["uid": .text(uid), "authprovider": "test"], tls: tls, clock: clock)
        } catch {
            throw FleetError(
                "The user \(sanitized(uid, limit: 100)) cannot be registered at \(door.url): \(error). If there is such a "
                    + "user already, give --mediator-token in the place of --user.")
        }
        return try await Provisioner.token(
            door, "/provision/mediator", ["uid": .text(uid), "accesstoken": .text(user)], tls: tls, clock: clock)
    }

    /// Makes the first code, so that nobody has to wait for thousands of failures to learn that none can be had.
    package func prepare(_ di: String) async throws(FleetError) {
        let start = ContinuousClock.now
        var conversation = HTTPConversation(self.door, tls: self.tls)
        let answer = await self.answer(for: di, by: &conversation)
        await conversation.end()
        do throws(ProvisioningFailure) {
            let code = try answer.get()
            self.ready.withLock { $0[di] = (code, .now - start) }
        } catch {
            let advice =
                switch error.status {
                case 401, 403: "Is --mediator-token right? POST /provision/mediator makes one."
                case nil: "Is it the cloud's HTTP side that listens there? See --northbound."
                default: "See the log of the cloud."
                }
            throw FleetError("No one-time code can be had from \(self.door.url): \(error.detail). \(advice)")
        }
    }

    /// Asks for the code of a device; `completion` comes once, on any thread.
    func ask(for di: String, completion: @escaping Completion) {
        if let (code, duration) = self.ready.withLock({ $0.removeValue(forKey: di) }) {
            return completion(.success(code), duration)
        }
        // Never full; once the run has ended, nobody waits for it any more.
        _ = self.queue.yield(Job(di: di, completion: completion))
    }

    /// Serves until the task is cancelled.
    package func run() async {
        await withDiscardingTaskGroup { workers in
            for _ in 0..<Self.parallel {
                workers.addTask {
                    var conversation = HTTPConversation(self.door, tls: self.tls)
                    for await job in self.jobs {
                        let start = ContinuousClock.now
                        let answer = await self.answer(for: job.di, by: &conversation)
                        job.completion(answer, .now - start)
                    }
                    await conversation.end()
                }
            }
        }
    }

    private static var clock: CaseClock { CaseClock(patience: Self.patience, end: .now + Self.patience * 2) }

    private func answer(
        for di: String, by conversation: inout HTTPConversation
    ) async -> Result<Secret, ProvisioningFailure> {
        do throws(ProvisioningFailure) {
            return .success(try await self.code(for: di, by: &conversation))
        } catch {
            return .failure(error)
        }
    }

    private func code(
        for di: String, by conversation: inout HTTPConversation
    ) async throws(ProvisioningFailure) -> Secret {
        let answer: HTTPAnswer
        do {
            // A second code for the same device does no harm.
            answer = try await conversation.repeatable(
                "POST", "/provision/device", token: self.mediatorToken,
                headers: [("Content-Type", "application/json")], body: json(.map(["di": .text(di)])),
                clock: Self.clock)
        } catch {
            throw ProvisioningFailure(status: nil, detail: "\(error)")
        }
        guard answer.status == 200, let code = answer.json?["accesstoken"]?.string.flatMap(Secret.init) else {
            throw ProvisioningFailure(status: answer.status, detail: "\(answer.status) \(answer.text)")
        }
        return code
    }
}

/// Why there is no code.
struct ProvisioningFailure: Error, Sendable {
    /// Of the answer, if one came.
    let status: Int?
    let detail: String

    /// Whether trying again will not help.
    var isFinal: Bool { self.status.map { (400..<500).contains($0) && $0 != 429 && $0 != 408 } ?? false }
    var cause: String { self.status.map { "refused with \($0)" } ?? "no answer" }
}

extension HTTPDoor {
    var url: String { "\(self.isSecure ? "https" : "http")://\(self.authority)" }
}
