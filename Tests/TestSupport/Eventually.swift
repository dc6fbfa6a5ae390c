import NIOCore
import NIOPosix

/// Waits until something is so that no event announces.
///
/// Looks every few milliseconds: what is waited for needs the processor as well.
///
/// - Throws: `PeerError` when it is not so within `patience`, or the test is out of time.
package func eventually(
    _ what: String, within patience: Duration = .seconds(30), _ isSo: () async throws -> Bool
) async throws {
    let deadline = ContinuousClock.now + patience
    let loop = MultiThreadedEventLoopGroup.singleton.any()
    while try await !isSo() {
        guard ContinuousClock.now < deadline, !Task.isCancelled else {
            throw PeerError("not within \(patience): \(what)")
        }
        try await loop.scheduleTask(in: .milliseconds(2)) {}.futureResult.get()
    }
}
