package import NIOCore

extension NIOLoopBound {
    /// Does `work` with the value on its event loop: at once if that is where we are.
    package func onLoop(_ work: @escaping @Sendable (Value) -> Void) {
        if self.eventLoop.inEventLoop {
            work(self.value)
        } else {
            self.eventLoop.execute { work(self.value) }
        }
    }
}
