import Cloud
import NIOCore

/// A Lua script that runs within Redis, in one step. It names every key it touches, and touches those of one device or
/// pod only, so that it also runs where keys are spread over several servers. Scripts read the time and then write,
/// which needs replication by effects: the default from Redis 5 on.
package struct RedisScript: Sendable {
    package let text: String
    /// What EVALSHA calls it.
    package let digest: String

    package init(_ text: String) {
        self.text = text
        self.digest = sha1Hexadecimal(of: text)
    }
}

extension RedisClient {
    /// Runs a script; its text is sent only if the server does not know it.
    /// - Parameter value: a last argument that need not be text.
    func run(
        _ script: RedisScript, byText: Bool, keys: [String], arguments: [String], value: [UInt8]? = nil,
        deadline: NIODeadline, completion: @escaping @Sendable (Result<RedisValue, RedisError>) -> Void
    ) {
        let command: @Sendable (String, String) -> RedisCommand = { name, script in
            var command = RedisCommand([name, script, "\(keys.count)"] + keys + arguments)
            if let value { command.append(value) }
            return command
        }
        if byText {
            return self.send(command("EVAL", script.text), deadline: deadline, completion: completion)
        }
        self.send(command("EVALSHA", script.digest), deadline: deadline) { answer in
            guard case .failure(.answered(let text)) = answer, text.hasPrefix("NOSCRIPT") else {
                return completion(answer)
            }
            self.send(command("EVAL", script.text), deadline: deadline, completion: completion)
        }
    }
}
