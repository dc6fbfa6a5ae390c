package import Cloud
package import CoAP
import CoAPTransport
import NIOCore
import Synchronization

/// The way to one session from anywhere.
struct SessionHandle: Sendable {
    let session: Session
    let connection: NIOLoopBound<DeviceConnection>
}

/// The sessions of this process, by device: the truth about who is connected here.
///
/// As a `Responder` it delivers requests for `/{di}/…` to the session of that device, or says `Undelivered`. It waits
/// for nobody and asks nobody else.
package final class SessionTable: Responder, SessionEnder {
    /// What becomes of a new session.
    enum Entrance {
        /// It is in, unless it is the one that comes back: whichever has to go.
        case entered(loser: SessionHandle?)
        /// The right to it was taken away while it was being granted.
        case revoked
    }

    private struct State {
        var sessions: [DeviceID: SessionHandle] = [:]
        /// Counts how often a right was taken away.
        var revision: UInt64 = 0
        /// At which revision each device's was, as far back as `forgotten`.
        var revocations: [DeviceID: UInt64] = [:]
        var forgotten: UInt64 = 0
    }

    /// More revocations than these are not remembered: whoever signs in at that moment has to do so again.
    private static let maximumRevocations = 4096

    private let state = Mutex(State())

    package init() {}

    /// How many sessions there are.
    package var count: Int { self.state.withLock { $0.sessions.count } }

    /// To be noted before the registry is asked for a sign-in, for `enter`.
    var revision: UInt64 { self.state.withLock { $0.revision } }

    /// Enters a session. The newest wins (greatest epoch).
    /// - Parameter askedAt: the revision before the registry was asked. A registration that was deleted after the
    ///   registry looked, and before the session is here to be ended, would leave a session without a right.
    func enter(_ handle: SessionHandle, askedAt: UInt64) -> Entrance {
        self.state.withLock { state in
            let di = handle.session.di
            if state.revocations[di, default: state.forgotten] > askedAt { return .revoked }
            if let other = state.sessions[di], other.session.epoch > handle.session.epoch {
                return .entered(loser: handle)
            }
            return .entered(loser: state.sessions.updateValue(handle, forKey: di))
        }
    }

    /// Takes a session out, if it is still the one that counts.
    func leave(_ session: Session) {
        self.state.withLock { state in
            guard state.sessions[session.di]?.session.epoch == session.epoch else { return }
            state.sessions[session.di] = nil
        }
    }

    private func find(_ di: DeviceID) -> SessionHandle? {
        self.state.withLock { $0.sessions[di] }
    }

    /// Notes that the right of `di` is gone, and gives its session.
    private func revoke(_ di: DeviceID) -> SessionHandle? {
        self.state.withLock { state in
            state.revision += 1
            if state.revocations.count >= Self.maximumRevocations {
                state.revocations = [:]
                state.forgotten = state.revision
            }
            state.revocations[di] = state.revision
            return state.sessions[di]
        }
    }

    package func respond(to request: Request, answer: @escaping @Sendable (Response) -> Void) {
        guard let di = request.options.first(.uriPath)?.string.flatMap({ try? DeviceID($0) }),
            let handle = self.find(di), handle.session.kind == .device
        else { return answer(Relay.offline()) }
        handle.connection.onLoop { $0.relay(request, to: di, answer: answer) }
    }

    package func end(_ devices: [DeviceID], reason: String) async {
        self.endNow(devices, reason: reason)
    }

    /// The same without waiting for anything.
    package func endNow(_ devices: [DeviceID], reason: String) {
        for di in devices {
            self.revoke(di)?.connection.onLoop { $0.revoke(di: di, reason: reason) }
        }
    }
}
