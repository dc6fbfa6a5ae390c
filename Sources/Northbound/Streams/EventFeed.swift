import Cloud
import ServiceLifecycle

/// Notices that logs have grown: at once where the log says so, and else by one look at each owner's log a period,
/// however many streams the owner has.
struct EventFeed: Sendable {
    let log: any EventHistory
    let streams: OpenStreams
    let period: Duration

    func run() async {
        let streams = self.streams
        self.log.listen { streams.hear($0) }
        await cancelWhenGracefulShutdown {
            var follower = EventFollower(self.log)
            while !Task.isCancelled {
                // A cancelled sleep ends the loop at once.
                try? await Task.sleep(for: self.period)
                await follower.look(at: streams.owners) { owner, _ in
                    streams.hear(owner)
                    return true
                }
            }
        }
    }
}
