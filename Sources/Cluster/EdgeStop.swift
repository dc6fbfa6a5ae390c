package import Edge
import ServiceLifecycle

/// Lets no request wait for a device to come back to a process that stops. It stands last among the services, so it
/// stops first.
package struct EdgeStop: Service {
    private let edge: EdgeResponder

    package init(edge: EdgeResponder) {
        self.edge = edge
    }

    package func run() async throws {
        try? await gracefulShutdown()
        self.edge.stopWaiting()
    }
}
