package import Logging
import Metrics
package import NIOCore
import NIOPosix
import Synchronization

/// What one listener shows, and whom it lets in: certificate, key, authorities and revocation lists, from files that
/// are read again when they have changed. Connections made from then on use the new ones; if those cannot be used the
/// old ones stay.
package final class ServerCertificates: Sendable {
    /// Whether clients show a certificate.
    package enum ClientVerification: String, Hashable, Sendable, CaseIterable {
        case off
        case optional
        case required
    }

    /// Where they are.
    package struct Files: Hashable, Sendable {
        /// Our certificate, followed by those between it and the authority, PEM.
        package var certificate: String
        /// PEM.
        package var key: String
        /// The authorities that peers' certificates come from, PEM: files, or folders of `.pem`, `.crt` and `.cer`.
        package var authorities: [String]
        /// Lists of revoked certificates, PEM or DER (RFC 5280 §5).
        package var revocations: [String]

        package init(certificate: String, key: String, authorities: [String] = [], revocations: [String] = []) {
            self.certificate = certificate
            self.key = key
            self.authorities = authorities
            self.revocations = revocations
        }
    }

    let files: Files
    package let clients: ClientVerification
    let logger: Logger
    private let interval: TimeAmount
    private let schedule: ReloadSchedule
    /// For the keys of session tickets.
    let forgetting: ReloadSchedule
    let paths = Mutex(IssuerPaths())
    let identity: ReloadedFiles<ServerIdentity>
    /// Nil: clients show no certificates.
    let authorities: ReloadedFiles<TrustedAuthorities>?
    /// One for each file.
    let revocations: [(path: String, lists: ReloadedFiles<[RevocationList]>)]
    private let handlers = Mutex<[@Sendable () -> Void]>([])
    private let notices: Mutex<(identity: ExpiryNotice, lists: [String: ExpiryNotice])>
    private let expiry: Gauge
    let refused = Counter(label: "tls.clients.refused")

    /// - Parameters:
    ///   - protocols: ALPN: the first that the client offers as well is chosen, and none is required.
    ///   - interval: how often to look for changed files, at most; connections being made are the occasion, and `run`.
    /// - Throws: when a file cannot be read or used; the message names it.
    package init(
        files: Files, clients: ClientVerification = .off, protocols: [String] = [],
        interval: TimeAmount = .seconds(10), logger: Logger
    ) throws(CertificateError) {
        self.files = files
        self.clients = clients
        self.logger = logger
        self.interval = interval
        self.schedule = ReloadSchedule(interval: interval)
        self.forgetting = ReloadSchedule(interval: interval)
        self.identity = try ReloadedFiles(
            paths: { [files.certificate, files.key] },
            load: { () throws(CertificateError) in
                try ServerIdentity.load(files, clients: clients, protocols: protocols)
            })
        var revocations: [(path: String, lists: ReloadedFiles<[RevocationList]>)] = []
        if clients == .off {
            self.authorities = nil
        } else {
            let authorities = try ReloadedFiles(
                paths: { files.authorities + TrustedAuthorities.files(files.authorities) },
                load: { () throws(CertificateError) in try TrustedAuthorities.load(files.authorities) })
            for path in files.revocations {
                // Another authority may have signed another list: both are looked at.
                let lists = try ReloadedFiles(
                    paths: { [path] + files.authorities + TrustedAuthorities.files(files.authorities) },
                    load: { () throws(CertificateError) in
                        try RevocationList.read(path, authorities: authorities.value.certificates)
                    })
                revocations.append((path, lists))
            }
            self.authorities = authorities
        }
        self.revocations = revocations
        self.notices = Mutex((ExpiryNotice(daysAhead: 30), [:]))
        self.expiry = Gauge(label: "tls.certificate.expiry.seconds", dimensions: [("path", files.certificate)])
        self.speakOfExpiry()
    }

    /// The common name of our certificate: `uuid:` and the cloud's id if devices are to let the cloud in. Nil if there
    /// is none, or more than one.
    package var commonName: String? { self.identity.value.commonName }

    /// When our certificate ends, or the first of those between it and the authority: seconds since 1970.
    package var notAfter: Int64 { self.identity.value.notAfter }

    /// For a connection that was accepted.
    package func handshake() -> ServerHandshake {
        self.schedule.lookIfDue { self.reloadIfChanged() }
        return ServerHandshake(self, self.identity.value.context, self.authorities?.value)
    }

    /// Looks for changed files until it is cancelled, connections or none.
    package func run() async {
        while !Task.isCancelled {
            // Both throw only when it is over: the one when cancelled, the other when its threads are gone.
            guard (try? await Task.sleep(nanoseconds: UInt64(clamping: self.interval.nanoseconds))) != nil,
                (try? await NIOThreadPool.singleton.runIfActive { self.reloadIfChanged() }) != nil
            else { return }
        }
    }

    /// Has `handler` called whenever certificates have been revoked or authorities been taken away since the last look,
    /// on a thread that is no event loop's. Connections of those that `fault` names are then to be ended.
    package func whenTrustIsTaken(_ handler: @escaping @Sendable () -> Void) {
        self.handlers.withLock { $0.append(handler) }
    }

    // MARK: Files

    /// Reads what has changed. What cannot be read or used is left as it was. It reads files on the calling thread.
    package func reloadIfChanged() {
        self.tell(self.identity.look(), of: "the certificate", self.files.certificate)
        var forgets = false
        var takesTrust = false
        if let authorities = self.authorities {
            let outcome = authorities.look()
            if case .replaced(let old) = outcome {
                forgets = true
                takesTrust = !old.ids.isSubset(of: authorities.value.ids)
            }
            self.tell(outcome, of: "the authorities", self.files.authorities.joined(separator: ", "))
        }
        for (path, lists) in self.revocations {
            let outcome = lists.look()
            if case .replaced(let old) = outcome {
                takesTrust = takesTrust || Self.isMore(lists.value, than: old)
            }
            self.tell(outcome, of: "the list of revoked certificates", path)
        }
        if forgets || takesTrust { self.forgetSessions() }
        self.speakOfExpiry()
        guard takesTrust else { return }
        for handler in self.handlers.withLock({ $0 }) { handler() }
    }

    private static func isMore(_ new: [RevocationList], than old: [RevocationList]) -> Bool {
        new.contains { list in list.revoked.contains { id in !old.contains { $0.revoked.contains(id) } } }
    }

    /// Gives session tickets new keys: sessions begun before are not resumed.
    func forgetSessions() {
        do {
            try self.identity.replace { try $0.forgettingSessions() }
            self.paths.withLock { $0 = IssuerPaths() }
        } catch {
            self.logger.warning("old TLS sessions cannot be forgotten", metadata: ["reason": "\(error)"])
        }
    }

    private func tell<Value>(_ outcome: ReloadedFiles<Value>.Outcome, of what: String, _ path: String) {
        switch outcome {
        case .unchanged: break
        case .replaced: self.logger.info("\(what) read anew", metadata: ["path": "\(path)"])
        case .unusable(let error):
            self.logger.warning(
                "\(what) cannot be used as changed: the old stays",
                metadata: ["path": "\(error.path)", "reason": "\(error.reason)"])
        }
    }

    /// Once a day for each file.
    func speakOfExpiry(now: Int64 = AuthorityFolder.clock()) {
        let end = self.notAfter
        self.expiry.record(end - now)
        if let days = self.notices.withLock({ $0.identity.daysLeft(end: end, now: now) }) {
            self.logger.warning(
                days >= 0 ? "our certificate ends soon: renew it" : "our certificate has ended: renew it",
                metadata: ["path": "\(self.files.certificate)", "days": "\(days)"])
        }
        for (path, lists) in self.revocations {
            guard let end = lists.value.compactMap(\.nextUpdate).min() else { continue }
            let days = self.notices.withLock {
                $0.lists[path, default: ExpiryNotice(daysAhead: 0)].daysLeft(end: end, now: now)
            }
            guard let days else { continue }
            self.logger.warning(
                "a list of revoked certificates is stale: what it says holds, what was revoked since is let in",
                metadata: ["path": "\(path)", "days": "\(days)"])
        }
    }
}
