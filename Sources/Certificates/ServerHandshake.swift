import NIOCore
package import NIOSSL
import Synchronization

/// TLS on one connection that was accepted, and who the peer turns out to be.
package struct ServerHandshake {
    /// What a peer has shown.
    package enum Peer: Hashable, Sendable {
        case anonymous
        case known(PeerCertificate)
        /// It resumed a session whose certificate does not hold any more: it is to be closed.
        case refused(reason: String)
    }

    package let handler: NIOSSLServerHandler
    package let certificates: ServerCertificates
    /// What the check found; empty where a session was resumed, of which nothing is checked again.
    private let verified: VerifiedPeer

    init(_ certificates: ServerCertificates, _ context: NIOSSLContext, _ authorities: TrustedAuthorities?) {
        let verified = VerifiedPeer()
        self.certificates = certificates
        self.verified = verified
        guard let authorities else {
            self.handler = NIOSSLServerHandler(context: context)
            return
        }
        self.handler = NIOSSLServerHandler(
            context: context,
            customVerificationCallbackWithMetadata: { shown, promise in
                promise.completeWithTask {
                    guard let peer = await certificates.verify(shown, authorities) else { return .failed }
                    verified.put(peer)
                    // The chain is not kept with the connection: all that is asked of it later is in `peer`.
                    return .certificateVerified(VerificationMetadata(nil))
                }
            })
    }

    /// Who the peer is, once the handshake is over. It is told once.
    package func peer() -> Peer {
        guard self.certificates.clients != .off else { return .anonymous }
        if let peer = self.verified.take() { return .known(peer) }
        guard let shown = self.handler.peerCertificate else {
            return self.certificates.clients == .required ? .refused(reason: "it has shown none") : .anonymous
        }
        return self.certificates.resumed(shown)
    }
}

/// Hands the outcome of a check from the task it was done in to the event loop.
private final class VerifiedPeer: Sendable {
    private let peer = Mutex<PeerCertificate?>(nil)

    func put(_ peer: PeerCertificate) { self.peer.withLock { $0 = peer } }

    func take() -> PeerCertificate? {
        self.peer.withLock { peer in
            defer { peer = nil }
            return peer
        }
    }
}
