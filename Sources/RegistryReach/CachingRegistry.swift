package import Cloud
package import CoAP
import ServiceLifecycle
import Synchronization

/// The registry behind a memory: who stands behind a token is answered from this program's cache, then from the one all
/// programs share, then by the registry; everything else goes straight to it.
///
/// What a cache answers is what the registry would have said. Refusals are never kept, a token that nobody has used yet
/// is the registry's to confirm, and equal questions at one time are asked once. A registry that cannot be reached is
/// 5.03 with Max-Age, never a 4.xx, which devices take as final.
///
/// Works before and after `run()`, but then without the shared cache.
package final class CachingRegistry: Responder, Service {
    /// Questions under way; more are asked without a memory.
    private static let maximumQuestions = 16_384
    /// How many may wait for the answer to one question.
    private static let maximumJoined = 1024
    /// What a device is told to wait for a registry that cannot be reached, in seconds.
    private static let unreachableMaxAge: UInt32 = 5

    private struct Asker: Sendable {
        let question: TokenQuestion
        let request: Request
        let since: ContinuousClock.Instant
        let answer: @Sendable (Response) -> Void
    }

    private let transport: any Responder
    private let cache: IdentityCache
    private let tokenCache: (any TokenCache)?
    private let lookUps = LookUps()
    private let metrics = ReachMetrics()
    private let questions = Mutex<[TokenQuestion.Key: [Asker]]>([:])

    /// - Parameters:
    ///   - transport: reaches a registry.
    ///   - tokenCache: shared by all programs; nil: there is none.
    package init(_ transport: any Responder, cache: IdentityCache, tokenCache: (any TokenCache)? = nil) {
        self.transport = transport
        self.cache = cache
        self.tokenCache = tokenCache
    }

    package func run() async {
        await cancelWhenGracefulShutdown { await self.lookUps.run() }
    }

    /// Whether this program answers it from its own memory, without asking anybody.
    package func remembers(_ request: Request) -> Bool {
        guard let question = TokenQuestion(request), let known = self.cache.find(question.key.hash) else {
            return false
        }
        return question.answer(known) != nil
    }

    /// Who stands behind a token, from this program's own memory: for those who ask on every request, and ask the
    /// registry where it has nobody.
    package func recall(_ token: Secret) -> Principal? {
        guard let known = self.cache.find(token.hash) else { return nil }
        self.metrics.count(.local)
        return known.principal
    }

    package func respond(to request: Request, answer: @escaping @Sendable (Response) -> Void) {
        guard let question = TokenQuestion(request) else {
            self.transport.respond(to: request) { answer(Self.calmed($0)) }
            return
        }
        if let known = self.cache.find(question.key.hash), let response = question.answer(known) {
            self.metrics.count(.local)
            answer(response)
            return
        }
        let asker = Asker(question: question, request: request, since: self.cache.now(), answer: answer)
        enum Place { case first, joined, alone }
        let place: Place = self.questions.withLock { questions in
            guard var askers = questions[question.key] else {
                guard questions.count < Self.maximumQuestions else { return .alone }
                questions[question.key] = [asker]
                return .first
            }
            guard askers.count < Self.maximumJoined else { return .alone }
            askers.append(asker)
            questions[question.key] = askers
            return .joined
        }
        switch place {
        case .joined: self.metrics.count(.joined)
        case .alone: self.forward(asker)
        case .first: self.look(asker)
        }
    }

    /// In the cache all programs share, then in the registry.
    private func look(_ first: Asker) {
        guard let tokenCache, self.cache.isAdmitting else { return self.ask(first, attempt: 1) }
        let hash = first.question.key.hash
        let job = LookUps.Job(
            run: {
                if let cached = await tokenCache.find(hash), let known = self.cache.adopt(cached, for: hash),
                    first.question.answer(known) != nil
                {
                    self.metrics.count(.shared)
                    self.conclude(first.question, known: known)
                } else {
                    self.ask(first, attempt: 1)
                }
            },
            skip: { self.ask(first, attempt: 1) })
        if !self.lookUps.submit(job) { self.ask(first, attempt: 1) }
    }

    private func ask(_ first: Asker, attempt: Int) {
        let asked = self.cache.now()
        guard let request = first.request.later(by: asked - first.since) else {
            return self.conclude(first.question, response: .late)
        }
        self.metrics.count(.registry)
        self.transport.respond(to: request) { response in
            guard response.code.isSuccess else {
                return self.conclude(first.question, response: Self.calmed(response))
            }
            guard
                let known = first.question.recognition(in: response, registryNow: self.cache.registryNow)
            else {
                // Nothing that others could be answered from.
                return self.concludeAlone(first, response)
            }
            guard self.cache.stands(known) else {
                // It was taken back while the answer was on its way.
                guard attempt == 1 else { return self.conclude(first.question, response: Self.changed) }
                return self.ask(first, attempt: 2)
            }
            self.cache.keep(known, for: first.question.key.hash, asked: asked)
            self.conclude(first.question, known: known, first: response)
        }
    }

    private func forward(_ asker: Asker) {
        guard let request = asker.request.later(by: self.cache.now() - asker.since) else {
            return asker.answer(.late)
        }
        self.transport.respond(to: request) { asker.answer(Self.calmed($0)) }
    }

    // MARK: Answers

    private func askers(of question: TokenQuestion) -> [Asker] {
        self.questions.withLock { $0.removeValue(forKey: question.key) ?? [] }
    }

    /// - Parameter first: what the registry has answered to the first of them.
    private func conclude(_ question: TokenQuestion, known: Recognition, first: Response? = nil) {
        for (index, asker) in self.askers(of: question).enumerated() {
            if index == 0, let first {
                asker.answer(first)
            } else if let response = asker.question.answer(known) {
                asker.answer(response)
            } else {
                self.forward(asker)
            }
        }
    }

    /// A refusal, which reads the same for all of them.
    private func conclude(_ question: TokenQuestion, response: Response) {
        for asker in self.askers(of: question) { asker.answer(response) }
    }

    private func concludeAlone(_ first: Asker, _ response: Response) {
        for (index, asker) in self.askers(of: first.question).enumerated() {
            if index == 0 { asker.answer(response) } else { self.forward(asker) }
        }
    }

    /// Every operation of the registry is safe to repeat, so whatever became of a request, the peer may ask again.
    private static func calmed(_ response: Response) -> Response {
        let isLost: Bool
        switch response.options.undelivered {
        case .tooLarge: isLost = false
        case .noSession, .superseded, .moving, .queueFull, .late, .unreachable, .tooManyInFlight, .overloaded,
            .routesUnavailable, .signedOut:
            isLost = true
        case nil:
            isLost =
                response.options.unknownOutcome != nil
                || [.serviceUnavailable, .badGateway, .gatewayTimeout].contains(response.code)
        }
        guard isLost else { return response }
        var calm = Response(
            .serviceUnavailable, diagnostic: response.diagnostic ?? "the registry cannot be reached: try again",
            maxAge: response.options.maxAge ?? Self.unreachableMaxAge)
        calm.options.undelivered = response.options.undelivered
        return calm
    }

    private static let changed = Response(
        .serviceUnavailable, diagnostic: "the token was taken back while it was looked up: try again", maxAge: 1)
}
