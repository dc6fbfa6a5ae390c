import NIOCore
import NIOPosix
import Synchronization

/// What goes to a device, as long as a frame with a GET, and what comes back, as long as the answer of nginx.
enum Frame {
    static let request = ByteBuffer(string: "GET /light, the same every time.")
    static let answer = ByteBuffer(string: #"{"value":false,"brightness":50,"di":"fleet1-1000","served":10000}"#)
}

/// The devices that are there, asked one after the other.
final class Devices: Sendable {
    private let state = Mutex<(connections: [NIOLoopBound<DeviceConnection>], last: Int)>(([], 0))

    func add(_ connection: NIOLoopBound<DeviceConnection>) {
        self.state.withLock { $0.connections.append(connection) }
    }

    /// - Parameter answer: gets the bytes of the answer; stays unanswered where there is no device.
    func ask(_ answer: EventLoopPromise<ByteBuffer>) {
        let connection = self.state.withLock { state in
            guard !state.connections.isEmpty else { return nil as NIOLoopBound<DeviceConnection>? }
            state.last = (state.last + 1) % state.connections.count
            return state.connections[state.last]
        }
        guard let connection else { return answer.fail(ChannelError.ioOnClosedChannel) }
        if connection.eventLoop.inEventLoop {
            connection.value.ask(answer)
        } else {
            connection.eventLoop.execute { connection.value.ask(answer) }
        }
    }
}

/// The front's end of a device's connection: answers come in the order of requests.
final class DeviceConnection: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer
    typealias OutboundOut = ByteBuffer

    private let devices: Devices
    private var context: ChannelHandlerContext?
    private var waiting = CircularBuffer<EventLoopPromise<ByteBuffer>>()
    private var received = ByteBuffer()

    init(_ devices: Devices) {
        self.devices = devices
    }

    static func listen(port: Int, on group: any EventLoopGroup, _ devices: Devices) async throws {
        _ = try await ServerBootstrap(group: group)
            .serverChannelOption(.socketOption(.so_reuseaddr), value: 1)
            .childChannelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    try channel.pipeline.syncOperations.addHandler(DeviceConnection(devices))
                }
            }
            .bind(host: "127.0.0.1", port: port).get()
    }

    func channelActive(context: ChannelHandlerContext) {
        self.context = context
        self.devices.add(NIOLoopBound(self, eventLoop: context.eventLoop))
    }

    func ask(_ answer: EventLoopPromise<ByteBuffer>) {
        guard let context else { return answer.fail(ChannelError.ioOnClosedChannel) }
        self.waiting.append(answer)
        context.writeAndFlush(self.wrapOutboundOut(Frame.request), promise: nil)
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        var bytes = self.unwrapInboundIn(data)
        self.received.writeBuffer(&bytes)
        while let answer = self.received.readSlice(length: Frame.answer.readableBytes) {
            self.waiting.popFirst()?.succeed(answer)
        }
        self.received.discardReadBytes()
    }

    func channelInactive(context: ChannelHandlerContext) {
        self.context = nil
        while let answer = self.waiting.popFirst() { answer.fail(ChannelError.eof) }
    }
}

/// A device: answers every request with the same bytes.
final class Device: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer
    typealias OutboundOut = ByteBuffer

    private var bytes = 0

    static func connect(_ count: Int, to port: Int, on group: any EventLoopGroup) async throws -> [any Channel] {
        var channels: [any Channel] = []
        for _ in 0..<count {
            channels.append(
                try await ClientBootstrap(group: group)
                    .channelInitializer { channel in
                        channel.eventLoop.makeCompletedFuture {
                            try channel.pipeline.syncOperations.addHandler(Device())
                        }
                    }
                    .connect(host: "127.0.0.1", port: port).get())
        }
        return channels
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        self.bytes += self.unwrapInboundIn(data).readableBytes
        while self.bytes >= Frame.request.readableBytes {
            self.bytes -= Frame.request.readableBytes
            context.write(self.wrapOutboundOut(Frame.answer), promise: nil)
        }
    }

    func channelReadComplete(context: ChannelHandlerContext) {
        context.flush()
    }
}
