/// What the first commands of a connection found out.
package struct RedisServerFacts: Hashable, Sendable {
    /// `maxmemory_policy`; nil if it could not be asked.
    package var evictionPolicy: String?

    package init(evictionPolicy: String? = nil) {
        self.evictionPolicy = evictionPolicy
    }

    /// What operators should change.
    package var warning: String? {
        guard let policy = self.evictionPolicy, policy != "noeviction" else { return nil }
        return "Redis evicts keys when its memory is full (maxmemory-policy is \(policy)): devices would vanish; "
            + "set maxmemory-policy to noeviction"
    }
}

/// The first commands of a connection, all sent at once, and what their answers mean. Does no input or output.
package struct RedisHandshake: Sendable, Equatable {
    package enum Purpose: Sendable, Equatable {
        case commands
        case subscriptions
    }

    package enum Step: Sendable, Equatable {
        case wait
        case done(RedisServerFacts)
        /// In words for operators.
        case failed(String)
    }

    private enum Question: Sendable, Equatable {
        case login, database, name, role, memory
    }

    package let commands: [RedisCommand]
    private var questions: [Question]
    private var answered = 0
    private var facts = RedisServerFacts()
    private let target: String
    private let database: Int
    private let hasUsername: Bool
    private let hasPassword: Bool
    private let settings: RedisConfiguration.SettingNames

    package init(_ configuration: RedisConfiguration, for purpose: Purpose) {
        self.target = configuration.target
        self.database = configuration.database
        self.hasUsername = configuration.username != nil
        self.hasPassword = configuration.password != nil
        self.settings = configuration.settings
        var steps: [(Question, RedisCommand)] = []
        if let password = configuration.password {
            steps.append(
                (.login, RedisCommand(["AUTH"] + [configuration.username, password.reveal()].compactMap { $0 })))
        }
        steps.append((.name, RedisCommand("CLIENT", "SETNAME", Self.fitName(configuration.clientName))))
        if purpose == .commands {
            if configuration.database != 0 {
                steps.append((.database, RedisCommand("SELECT", "\(configuration.database)")))
            }
            // CONFIG GET would tell the policy as well, but is forbidden in more places.
            steps.append((.role, RedisCommand("INFO", "replication")))
            steps.append((.memory, RedisCommand("INFO", "memory")))
        }
        self.questions = steps.map(\.0)
        self.commands = steps.map(\.1)
    }

    /// Takes the next answer.
    package mutating func received(_ value: RedisValue) -> Step {
        guard self.answered < self.questions.count else {
            return .failed("\(self.target) answered without being asked")
        }
        let question = self.questions[self.answered]
        self.answered += 1
        switch (question, value.errorCode) {
        case (.login, let code?):
            // Not its text: of a server that does not know the command, it repeats the password.
            let user = self.hasUsername ? "\(self.settings.username) and " : ""
            return .failed(
                "Redis at \(self.target) refuses the login (\(code)): check \(user)\(self.settings.password)")
        case (_, "NOAUTH"?):
            return .failed("Redis at \(self.target) asks for a password: set \(self.settings.password)")
        case (.database, let code?):
            return .failed(
                "Redis at \(self.target) has no database \(self.database) (\(code)): "
                    + "check \(self.settings.database)")
        case (.role, nil):
            guard let role = Self.field("role", of: value), role != "master" else { break }
            return .failed(
                "a replica answers at \(self.target), whose routes are stale: "
                    + "\(self.settings.address) must lead to the master")
        case (.memory, nil):
            self.facts.evictionPolicy = Self.field("maxmemory_policy", of: value)
        case (.login, nil), (.database, nil), (.name, _), (.role, _?), (.memory, _?):
            // What one may not ask stays unknown.
            break
        }
        return self.answered == self.questions.count ? .done(self.facts) : .wait
    }

    /// A field of what INFO answers: lines of `name:value`.
    private static func field(_ name: String, of value: RedisValue) -> String? {
        guard let text = value.text else { return nil }
        // "\r\n" is one Character.
        for line in text.split(whereSeparator: \.isNewline) where line.hasPrefix("\(name):") {
            return String(line.dropFirst(name.count + 1))
        }
        return nil
    }

    /// Names must be of printable ASCII without blanks.
    private static func fitName(_ name: String) -> String {
        let fit = name.unicodeScalars.map { ("!"..."~").contains($0) ? Character($0) : "-" }
        return fit.isEmpty ? "coap-gateway" : String(fit.prefix(128))
    }
}
