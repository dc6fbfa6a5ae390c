package import Cloud
import NIOCore

/// Nudges over Redis' channels. Whoever listens is also told each time that the listening begins anew, since what was
/// sent meanwhile is lost.
package final class RedisNudge: Nudge {
    private let client: RedisClient
    private let keys: RedisKeys

    package init(client: RedisClient) {
        self.client = client
        self.keys = RedisKeys(prefix: client.configuration.keyPrefix)
    }

    package func nudge(_ topic: NudgeTopic) {
        let command = RedisCommand("PUBLISH", self.keys.bus(topic.rawValue), "")
        self.client.send(command, deadline: .now() + .seconds(2)) { _ in
            // It loses messages by design.
        }
    }

    package func listen(to topic: NudgeTopic, heard: @escaping @Sendable () -> Void) {
        self.client.listen(to: self.keys.bus(topic.rawValue), subscribed: heard) { _ in heard() }
    }
}
