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
        /// As many are open as descriptors or the maximum allow.
        case full
    }

    private let logger: Logger
    private let metrics: NorthboundMetrics
    private let rare = Mutex(RareLines<Kind>())

    init(logger: Logger, metrics: NorthboundMetrics) {
        self.logger = logger
        self.metrics = metrics
    }

    /// - Parameter setting: the one that moves the listener's port.
    func refused(_ refusal: HTTPConnections.Refusal, _ setting: String) {
        self.metrics.countRefused(refusal)
        switch refusal {
        case .full, .descriptors: self.write(.full, .init([.reason: refusal.rawValue, .setting: setting]))
        // Whoever watches the memory has said it once; `notAccepted` has an error to tell.
        case .memory, .notAccepted, .stopping: break
        }
    }

    func notAccepted(_ error: any Error, _ setting: String) {
        self.metrics.countRefused(.notAccepted)
        self.write(.notAccepted, .init([.error: "\(error)", .setting: setting]))
    }

    func write(_ kind: Kind, _ metadata: Logger.Metadata) {
        guard let held = self.rare.withLock({ $0.mayWrite(kind, now: .now()) }) else { return }
        var metadata = metadata
        if held > 0 { metadata["unlogged"] = "\(held)" }
        switch kind {
        case .plainHTTP: self.logger.info("plain HTTP on the port for HTTPS: refused", metadata: metadata)
        case .full: self.logger.warning("HTTP connections are refused: as many are open as may", metadata: metadata)
        case .notAccepted: self.logger.warning("an HTTP connection could not be accepted", metadata: metadata)
        }
    }
}
