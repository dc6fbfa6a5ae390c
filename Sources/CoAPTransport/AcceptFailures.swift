import Glibc
import Logging
import NIOCore

/// Stops accepting for a moment when it fails for want of a descriptor or memory. The socket stays readable then, so
/// the event loop would spin; those that come wait in the kernel meanwhile.
///
/// NIO's `AcceptBackoffHandler` holds the next read back, but not the one that failed, which is pending still.
final class AcceptFailures: ChannelInboundHandler {
    typealias InboundIn = NIOAny

    private static let pause = TimeAmount.milliseconds(250)

    private let group: ListenerGroup

    init(group: ListenerGroup) {
        self.group = group
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        guard let failure = error as? IOError, [EMFILE, ENFILE, ENOBUFS, ENOMEM].contains(failure.errnoCode),
            let options = context.channel.syncOptions
        else { return context.fireErrorCaught(error) }
        self.group.refused(
            .noDescriptor, metadata: ["port": "\(context.localAddress?.port ?? 0)", "error": "\(failure)"])
        // Fails only where the channel is closed, and then nothing is accepted.
        try? options.setOption(.autoRead, value: false)
        context.eventLoop.assumeIsolated().scheduleTask(in: Self.pause) {
            try? options.setOption(.autoRead, value: true)
        }
    }
}
