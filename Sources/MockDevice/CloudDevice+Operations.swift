import CBOR
import Cloud
import CoAP

/// What is sent, and what becomes of the answers.
extension CloudDevice {
    var di: String { self.configuration.answers.di }
    /// What the cloud said, else what was answered.
    var uid: String { self.tokens?.uid ?? self.configuration.answers.uid }
    private var accessToken: Secret? { self.tokens?.accessToken ?? self.configuration.answers.accessToken }
    private var refreshToken: Secret? { self.tokens?.refreshToken ?? self.configuration.answers.refreshToken }

    /// What there is to come back with.
    var credentials: ReconnectPlan.Credentials {
        ReconnectPlan.Credentials(
            isPermanent: self.tokens?.isPermanent ?? false, canRefresh: self.refreshToken != nil
        )
    }

    /// How one request ended.
    enum Result: Sendable {
        case success(expiresIn: Int64)
        case refused(Response)
        case unanswered(CallFailure)
        case unusable
        case impossible
        case notConnected

        var outcome: Outcome {
            switch self {
            case .success: .done
            case .refused(let response): .refused(response.code)
            case .unanswered, .unusable, .notConnected: .failed
            case .impossible: .impossible
            }
        }
    }

    /// An operation somebody asked for.
    func carryOut(_ operation: Operation) async -> Outcome {
        let result = await self.exchange(operation)
        if case .success(let expiresIn) = result {
            switch operation {
            case .session:
                let action = self.plan.signedIn(
                    expiresIn: expiresIn, canRefresh: self.credentials.canRefresh, now: .now
                )
                await self.follow(action)
            case .refresh:
                await self.follow(self.plan.refreshed(expiresIn: expiresIn, now: .now))
            case .signOut:
                self.plan.stop()
                self.disarm()
            case .register, .publish, .unpublish:
                break
            }
        }
        return result.outcome
    }

    /// Sends what the operation needs and takes in the answer.
    func exchange(_ operation: Operation) async -> Result {
        let request: Request
        switch self.request(for: operation) {
        case .success(let ready): request = ready
        case .failure(let missing):
            self.observer(.impossible(operation, because: missing.description))
            return .impossible
        }
        guard let connection = await self.ensureConnection() else { return .notConnected }
        let response: Response
        self.wasAsked = true
        do throws(CallFailure) {
            response = try await connection.send(request, timeout: self.configuration.requestTimeout)
        } catch {
            self.observer(.unanswered(operation, error))
            if error.code == .connectionLost {
                await self.connectionEnded(connection.loss)
            }
            return .unanswered(error)
        }
        self.wasHeard = true
        self.observer(.answered(operation, response))
        guard response.code.isSuccess else { return .refused(response) }
        do throws(UnusableAnswer) {
            return .success(expiresIn: try await self.take(response, of: operation))
        } catch {
            self.observer(.unusable(operation, error))
            return .unusable
        }
    }

    /// Something a person has to give first.
    private struct Missing: Error, CustomStringConvertible {
        let description: String
    }

    private func request(for operation: Operation) -> Swift.Result<Request, Missing> {
        let needsUser = "no user ID is known: type register first, or start again with --uid"
        let needsToken = "no access token is known: type register first, or start again with --access-token"
        switch operation {
        case .register:
            let answers = self.configuration.answers
            guard let code = answers.oneTimeToken ?? answers.accessToken else {
                return .failure(Missing(description: "there is no one-time token: start again with --onetime-token"))
            }
            return .success(CloudRequest.signUp(di: self.di, uid: answers.uid, code: code))
        case .session, .signOut:
            guard !self.uid.isEmpty else { return .failure(Missing(description: needsUser)) }
            guard let accessToken = self.accessToken else { return .failure(Missing(description: needsToken)) }
            return .success(
                CloudRequest.session(
                    di: self.di, uid: self.uid, accessToken: accessToken, login: operation == .session
                )
            )
        case .refresh:
            guard !self.uid.isEmpty else { return .failure(Missing(description: needsUser)) }
            guard let refreshToken = self.refreshToken else {
                return .failure(
                    Missing(
                        description: "no refresh token is known: type register first, or start again with "
                            + "--refresh-token"
                    )
                )
            }
            return .success(CloudRequest.refresh(di: self.di, uid: self.uid, refreshToken: refreshToken))
        case .publish:
            return .success(CloudRequest.publish(di: self.di, links: self.server.resources.map(\.link)))
        case .unpublish:
            return .success(CloudRequest.unpublish(di: self.di))
        }
    }

    /// - Returns: seconds the access token lives, negative for ever; 0 where the answer does not say.
    private func take(_ response: Response, of operation: Operation) async throws(UnusableAnswer) -> Int64 {
        switch operation {
        case .register, .refresh:
            let login = try CloudAnswer.login(
                response, uid: operation == .refresh ? self.uid : nil, now: self.clock.now()
            )
            self.tokens = login.tokens
            self.observer(.received(login.tokens, expiresIn: login.expiresIn))
            if operation == .register, let redirect = login.redirect {
                try await self.move(to: redirect)
            }
            return login.expiresIn
        case .session:
            let expiresIn = try CloudAnswer.session(response)
            self.isSignedIn = true
            self.observer(.signedIn(expiresIn: expiresIn))
            return expiresIn
        case .signOut:
            self.isSignedIn = false
            return 0
        case .publish:
            let hrefs = self.server.resources.map(\.href)
            self.published = try CloudAnswer.published(response, hrefs: hrefs)
            self.observer(.published(self.published))
            return 0
        case .unpublish:
            self.published = [:]
            return 0
        }
    }

    /// The cloud's answer to sign-up may name another server: this connection ends, and the session belongs there.
    private func move(to redirect: String) async throws(UnusableAnswer) {
        do throws(AddressError) {
            let address = try ServerAddress(parsing: redirect)
            guard address != self.address else { return }
            self.address = address
        } catch {
            throw UnusableAnswer("its redirecturi leads nowhere this device can go. \(error)")
        }
        await self.dropConnection()
        self.observer(.redirected(self.address))
    }
}
