package import Cloud
package import CoAP
import NIOCore
import Synchronization

/// The way to one session from anywhere: hops to its event loop.
struct SessionHandle: Sendable {
    let session: Session
    let eventLoop: any EventLoop
    let connection: NIOLoopBound<DeviceConnection>

    func onLoop(_ work: @escaping @Sendable (DeviceConnection) -> Void) {
        if self.eventLoop.inEventLoop {
            work(self.connection.value)
        } else {
            let connection = self.connection
            self.eventLoop.execute { work(connection.value) }
        }
    }
}

/// The sessions of this process, by device: the truth about who is connected here.
///
/// As a `Responder` it delivers requests for `/{di}/…` to the session of that device, or says `Undelivered`. It waits
/// for nobody and asks nobody else.
package final class SessionTable: Responder, SessionEnder {
    private let sessions = Mutex<[DeviceID: SessionHandle]>([:])

    package init() {}

    /// How many sessions there are.
    package var count: Int { self.sessions.withLock { $0.count } }

    /// Enters a session. The newest wins (greatest epoch): what comes back is whichever of the two has to go.
    func enter(_ handle: SessionHandle) -> SessionHandle? {
        self.sessions.withLock { sessions in
            if let other = sessions[handle.session.di], other.session.epoch > handle.session.epoch {
                return handle
            }
            return sessions.updateValue(handle, forKey: handle.session.di)
        }
    }

    /// Takes a session out, if it is still the one that counts.
    func leave(_ session: Session) {
        self.sessions.withLock { sessions in
            guard sessions[session.di]?.session.epoch == session.epoch else { return }
            sessions[session.di] = nil
        }
    }

    private func find(_ di: DeviceID) -> SessionHandle? {
        self.sessions.withLock { $0[di] }
    }

    package func respond(to request: Request, answer: @escaping @Sendable (Response) -> Void) {
        guard let di = request.options.first(.uriPath)?.string.flatMap({ try? DeviceID($0) }),
            let handle = self.find(di), handle.session.kind == .device
        else { return answer(Relay.offline()) }
        handle.onLoop { $0.relay(request, to: di, answer: answer) }
    }

    package func end(_ devices: [DeviceID], reason: String) async {
        self.endNow(devices, reason: reason)
    }

    /// The same without waiting for anything.
    package func endNow(_ devices: [DeviceID], reason: String) {
        for di in devices {
            self.find(di)?.onLoop { $0.revoke(di: di, reason: reason) }
        }
    }
}
