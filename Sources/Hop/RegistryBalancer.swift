package import CoAP
package import Logging
package import NIOCore
import ServiceLifecycle
import Synchronization

/// The registry as one responder, whichever of its replicas answers. Its name is that of a headless service: it
/// resolves to the replicas themselves, so a lost one is seen at once and the load is spread by request.
///
/// Every failure to reach one is 5.03 with a time to come back after, since every operation of the registry can be
/// repeated by whoever asked.
package final class RegistryBalancer: Responder, Service {
    /// How often the name is resolved.
    package static let period: Duration = .seconds(5)
    /// What the registry proves to be, whichever replica it is.
    package static let registryName = "registry"
    /// What a caller is told to wait, in seconds.
    private static let retryAfter: UInt32 = 2

    private struct State {
        var choice = ReplicaChoice()
        var isResolving = false
    }

    private let host: String
    private let port: Int
    private let pool: HopPool
    private let resolver: any AddressResolver
    private let defaultDeadline: TimeAmount
    private let logger: Logger
    private let state = Mutex(State())

    /// - Parameter host: the headless service, or one address.
    package init(
        host: String, port: Int, pool: HopPool, resolver: any AddressResolver = SystemAddressResolver(),
        defaultDeadline: TimeAmount = .seconds(20), logger: Logger
    ) {
        self.host = host
        self.port = port
        self.pool = pool
        self.resolver = resolver
        self.defaultDeadline = defaultDeadline
        self.logger = logger
    }

    // MARK: Requests

    package func respond(to request: Request, answer: @escaping @Sendable (Response) -> Void) {
        let time =
            request.options.deadlineMilliseconds.map { TimeAmount.milliseconds(Int64($0)) } ?? self.defaultDeadline
        let now = NIODeadline.now()
        guard let address = self.state.withLock({ $0.choice.pick(random: Self.random(), now: now) }) else {
            answer(Self.unavailable("no replica of the registry is known"))
            return
        }
        self.send(request, to: address, deadline: now + time, isFirst: true, answer: answer)
    }

    private func send(
        _ request: Request, to address: String, deadline: NIODeadline, isFirst: Bool,
        answer: @escaping @Sendable (Response) -> Void
    ) {
        var timed = request
        let left = max(0, (deadline - .now()).nanoseconds / 1_000_000)
        timed.options.deadlineMilliseconds = UInt32(clamping: left)
        let target = HopTarget(
            host: address, port: self.port, name: Self.registryName, certificateName: self.host)
        self.pool.send(timed, to: target) { response in
            let now = NIODeadline.now()
            let action = self.state.withLock {
                $0.choice.answered(
                    response, by: address, isFirst: isFirst, timeLeft: deadline - now, random: Self.random(), now: now)
            }
            switch action {
            case .pass:
                answer(response)
            case .again(let next):
                self.send(request, to: next, deadline: deadline, isFirst: false, answer: answer)
            case .unavailable:
                answer(Self.unavailable(response.diagnostic ?? "the registry cannot be reached"))
            }
        }
    }

    private static func unavailable(_ text: String) -> Response {
        Response(.serviceUnavailable, diagnostic: text, maxAge: Self.retryAfter)
    }

    private static func random() -> (UInt64, UInt64) {
        (.random(in: .min ... .max), .random(in: .min ... .max))
    }

    // MARK: Contact

    /// For how long no replica has answered; nil when the last exchange succeeded, or there was none yet.
    package func unreachableFor() -> Duration? {
        let since = self.state.withLock { $0.choice.unreachableSince }
        return since.map { .nanoseconds((NIODeadline.now() - $0).nanoseconds) }
    }

    /// Whether no replica answers, or did not until less than `span` ago: whoever was told then to come back later may
    /// not have had the time.
    package func wasUnreachable(within span: TimeAmount) -> Bool {
        self.state.withLock { $0.choice.wasUnreachable(within: span, now: .now()) }
    }

    /// When a replica answered last.
    package var lastAnswer: NIODeadline? { self.state.withLock { $0.choice.lastAnswer } }

    /// The replicas requests go to now.
    package var addresses: [String] { self.state.withLock { $0.choice.addresses } }

    // MARK: Addresses

    /// Resolves the name again and again, until the shutdown.
    package func run() async throws {
        await cancelWhenGracefulShutdown {
            while !Task.isCancelled {
                self.resolve()
                try? await Task.sleep(for: Self.period)
            }
        }
    }

    /// Starts to resolve, unless an earlier attempt still goes on.
    /// - Parameter done: called when the answer was taken in.
    package func resolve(done: @escaping @Sendable () -> Void = {}) {
        let isFree = self.state.withLock { state in
            defer { state.isResolving = true }
            return !state.isResolving
        }
        guard isFree else { return done() }
        self.resolver.resolve(self.host) { result in
            self.resolved(result)
            done()
        }
    }

    private func resolved(_ result: Result<[String], ResolutionFailure>) {
        // Not every process should take the same three of many.
        let addresses = (try? result.get())?.shuffled()
        let action = self.state.withLock { state in
            state.isResolving = false
            return state.choice.update(addresses)
        }
        switch action {
        case .unchanged, .kept(isNews: false):
            break
        case .changed(let list):
            self.logger.info(
                "replicas of the registry",
                metadata: ["registry.name": "\(self.host)", "registry.addresses": "\(list.joined(separator: " "))"])
        case .kept(isNews: true):
            let reason =
                switch result {
                case .success: "the name has no address"
                case .failure(let failure): failure.description
                }
            self.logger.warning(
                "the registry's name does not resolve: the addresses known so far stay",
                metadata: ["registry.name": "\(self.host)", "reason": "\(reason)"])
        }
    }
}
