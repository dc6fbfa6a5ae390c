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
    func run(
        _ script: RedisScript, byText: Bool, keys: [String], arguments: [String], deadline: NIODeadline,
        completion: @escaping @Sendable (Result<RedisValue, RedisError>) -> Void
    ) {
        let words = ["\(keys.count)"] + keys + arguments
        if byText {
            return self.send(RedisCommand(["EVAL", script.text] + words), deadline: deadline, completion: completion)
        }
        self.send(RedisCommand(["EVALSHA", script.digest] + words), deadline: deadline) { answer in
            guard case .failure(.answered(let text)) = answer, text.hasPrefix("NOSCRIPT") else {
                return completion(answer)
            }
            self.send(RedisCommand(["EVAL", script.text] + words), deadline: deadline, completion: completion)
        }
    }
}
