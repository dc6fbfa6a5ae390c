package import CoAP

/// What happens to a device, for whoever watches it.
package enum DeviceEvent: Sendable {
    case connecting(ServerAddress)
    case connected(ServerAddress)
    /// `comesBack` as below.
    case notConnected(ServerAddress, ConnectFailure, comesBack: Bool)
    /// `isNoCloud` is true if what listens there behaved like a program of another kind; `comesBack` is true if the
    /// device will connect again by itself.
    case ended(ConnectionLoss, ServerAddress, isNoCloud: Bool, comesBack: Bool)
    /// Connects again after this time.
    case returning(after: Duration)
    /// Sends the same once more after this time.
    case repeating(Operation, after: Duration)
    /// Nothing more will be tried.
    case gaveUp(because: String)
    /// An answer of the cloud.
    case answered(Operation, Response)
    /// The tokens in the answer before.
    case received(Tokens, expiresIn: Int64)
    case signedIn(expiresIn: Int64)
    case published([String: Int64])
    /// The cloud wants this device elsewhere.
    case redirected(ServerAddress)
    case unanswered(Operation, CallFailure)
    /// A 2.xx that cannot be used.
    case unusable(Operation, UnusableAnswer)
    /// Not even sent, because something is missing: what, and what to do.
    case impossible(Operation, because: String)
    /// A request of the cloud and what it got.
    case served(Request, Response)
}
