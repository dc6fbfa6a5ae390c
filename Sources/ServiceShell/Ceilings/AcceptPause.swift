import Glibc
package import NIOCore

/// Stops accepting for a moment when it fails for want of a descriptor or memory. The socket stays readable then, so
/// the event loop would spin; those that come wait in the kernel meanwhile. Keeps every failure to accept one
/// connection from ending all accepting.
package final class AcceptPause: ChannelInboundHandler {
    package typealias InboundIn = any Channel

    package static let pause = TimeAmount.milliseconds(250)

    private let onFailure: @Sendable (any Error) -> Void

    /// - Parameter onFailure: is told of each; called on the event loop.
    package init(onFailure: @escaping @Sendable (any Error) -> Void = { _ in }) {
        self.onFailure = onFailure
    }

    package func errorCaught(context: ChannelHandlerContext, error: any Error) {
        self.onFailure(error)
        guard let failure = error as? IOError, [EMFILE, ENFILE, ENOBUFS, ENOMEM].contains(failure.errnoCode),
            let options = context.channel.syncOptions
        else { return }
        // Fails only where the channel is closed, and then nothing is accepted.
        try? options.setOption(.autoRead, value: false)
        context.eventLoop.assumeIsolated().scheduleTask(in: Self.pause) {
            try? options.setOption(.autoRead, value: true)
        }
    }
}
