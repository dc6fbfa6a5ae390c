import CoAPInterface
import NIOCore

/// Sizes of ours that other parts rely on being in order.
package enum SizeOrder {
    /// When the reference device repeats a request.
    private static let deviceRepeats = TimeAmount.seconds(2)
    /// The longest deadline a client may ask for (`Prefer: wait=60`).
    private static let longestDeadline = TimeAmount.seconds(60)

    /// Stops the program if a change to our own sizes broke their order.
    package static func check() {
        let limits = SessionMachine.Limits()
        precondition(Self.deviceRepeats < limits.idle)
        precondition(limits.idle < limits.idleAfterUnavailable)
        precondition(Self.longestDeadline < limits.idleAfterUnavailable)
        precondition(limits.idleAfterUnavailable < limits.unsigned)
    }
}
