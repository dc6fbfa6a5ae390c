package import Cloud
package import Logging
import ServiceLifecycle
import ServiceShell

/// Removes from time to time what is over: spent codes, sealed replies, expired links, old changes.
package struct Housekeeping: Service {
    static let period: Duration = .seconds(10)

    private let identity: Identity
    private let logger: Logger

    package init(identity: Identity, logger: Logger) {
        self.identity = identity
        self.logger = logger
    }

    package func run() async {
        await cancelWhenGracefulShutdown {
            while !Task.isCancelled {
                do {
                    let removed = try await self.identity.sweep()
                    if removed > 0 {
                        self.logger.debug("swept", metadata: .init([.count: "\(removed)"]))
                    }
                } catch {
                    self.logger.warning("sweep failed; tried again soon", metadata: .init([.error: "\(error)"]))
                }
                // A cancelled sleep ends the loop at once.
                try? await Task.sleep(for: Self.period)
            }
        }
    }
}
