import NIOCore
package import NIOPosix
import ServiceLifecycle
package import ServiceShell

/// The threads that serve connections. Stopped once nothing uses them any more.
package struct EventLoops: Service {
    package let group: MultiThreadedEventLoopGroup

    package init(count: Int, undo: inout StartUndo) {
        let group = MultiThreadedEventLoopGroup(numberOfThreads: count)
        self.group = group
        // Its only failure is to be shut down already.
        undo.add { try? await group.shutdownGracefully() }
    }

    package func run() async throws {
        try? await gracefulShutdown()
        try await self.group.shutdownGracefully()
    }
}
