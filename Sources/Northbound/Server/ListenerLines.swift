import Certificates
import Logging
import NIOCore
import ServiceShell
import Synchronization

/// What the listeners say of connections that never came to a request.
final class ListenerLines: Sendable {
    enum Kind: Hashable, Sendable {
        case plainHTTP
        /// No file descriptor is left, say.
        case notAccepted
    }

    private let logger: Logger
    private let rare = Mutex(RareLines<Kind>())

    init(logger: Logger) {
        self.logger = logger
    }

    func write(_ kind: Kind, _ metadata: Logger.Metadata) {
        guard let held = self.rare.withLock({ $0.mayWrite(kind, now: .now()) }) else { return }
        var metadata = metadata
        if held > 0 { metadata["unlogged"] = "\(held)" }
        switch kind {
        case .plainHTTP: self.logger.info("plain HTTP on the port for HTTPS: refused", metadata: metadata)
        case .notAccepted: self.logger.warning("an HTTP connection could not be accepted", metadata: metadata)
        }
    }
}
