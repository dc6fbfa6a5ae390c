package import Certificates
package import Logging
package import NIOCore
import NIOSSL

/// Mutual TLS 1.3 between our own programs, from files that are read again when they have changed: whoever renews
/// certificates replaces the files, and connections made from then on use the new ones.
package final class HopTLS: Sendable {
    /// Where certificate, key and authorities are, each PEM.
    package struct Files: Hashable, Sendable {
        /// Our certificate, followed by those between it and the authority.
        package var certificate: String
        package var key: String
        /// The authorities that certificates of our programs come from.
        package var authorities: [String]

        package init(certificate: String, key: String, authorities: [String]) {
            self.certificate = certificate
            self.key = key
            self.authorities = authorities
        }
    }

    private struct Contexts {
        let server: NIOSSLContext
        let client: NIOSSLContext
    }

    private let files: Files
    /// The Kubernetes namespace the pods' names are in.
    private let namespace: String
    private let logger: Logger
    private let schedule: ReloadSchedule
    private let contexts: ReloadedFiles<Contexts>

    /// - Parameters:
    ///   - interval: how often to look for changed files, at most; connections being made are the occasion.
    /// - Throws: when a file cannot be read or used; the message names it.
    package init(
        files: Files, namespace: String, interval: TimeAmount = .seconds(10), logger: Logger
    ) throws(CertificateError) {
        self.files = files
        self.namespace = namespace
        self.logger = logger
        self.schedule = ReloadSchedule(interval: interval)
        self.contexts = try ReloadedFiles(
            paths: { [files.certificate, files.key] + files.authorities },
            load: { () throws(CertificateError) in try Self.load(files) })
    }

    /// For an accepted connection: demands a certificate of one of the authorities.
    func serverHandler() -> NIOSSLServerHandler {
        self.lookForChanges()
        return NIOSSLServerHandler(context: self.contexts.value.server)
    }

    /// For a dialled connection: demands a certificate of one of the authorities with the target's name.
    func clientHandler(for target: HopTarget) throws -> NIOSSLClientHandler {
        self.lookForChanges()
        // A registry may be given by its address. No certificate is asked for an address itself: it is a pod's.
        let wished = target.certificateName ?? target.host
        let name = Self.podName(address: wished, namespace: self.namespace) ?? wished
        return try NIOSSLClientHandler(context: self.contexts.value.client, serverHostname: name)
    }

    /// The name Kubernetes gives a pod with this address: `10-0-0-7.NAMESPACE.pod.cluster.local`. Nil if it is none.
    package static func podName(address: String, namespace: String) -> String? {
        let bare = address.prefix { $0 != "%" }
        guard (try? SocketAddress(ipAddress: String(bare), port: 0)) != nil else { return nil }
        let dashed = String(bare.map { $0 == "." || $0 == ":" ? "-" : $0 })
        return "\(dashed).\(namespace).pod.cluster.local"
    }

    // MARK: Files

    private static func load(_ files: Files) throws(CertificateError) -> Contexts {
        var path = files.certificate
        do {
            let chain = try NIOSSLCertificate.fromPEMFile(path).map { NIOSSLCertificateSource.certificate($0) }
            path = files.key
            let key = NIOSSLPrivateKeySource.privateKey(try NIOSSLPrivateKey(file: path, format: .pem))
            var authorities: [NIOSSLCertificate] = []
            for authority in files.authorities {
                path = authority
                authorities += try NIOSSLCertificate.fromPEMFile(authority)
            }
            path = "\(files.certificate) with \(files.key)"
            var server = TLSConfiguration.makeServerConfigurationWithMTLS(
                certificateChain: chain, privateKey: key, trustRoots: .certificates(authorities))
            server.minimumTLSVersion = .tlsv13
            var client = TLSConfiguration.makeClientConfiguration()
            client.minimumTLSVersion = .tlsv13
            client.certificateVerification = .fullVerification
            client.trustRoots = .certificates(authorities)
            client.certificateChain = chain
            client.privateKey = key
            return Contexts(
                server: try NIOSSLContext(configuration: server), client: try NIOSSLContext(configuration: client))
        } catch {
            throw CertificateError(path: path, reason: "\(error)")
        }
    }

    /// The connection at hand goes by what there is.
    private func lookForChanges() {
        self.schedule.lookIfDue { self.reloadIfChanged() }
    }

    /// What cannot be read or used is left as it was: the next look finds it again.
    package func reloadIfChanged() {
        switch self.contexts.look() {
        case .unchanged: break
        case .replaced:
            self.logger.info(
                "certificates between programs read anew", metadata: ["path": "\(self.files.certificate)"])
        case .unusable(let error):
            self.logger.warning(
                "the changed certificates between programs cannot be used: the old ones stay",
                metadata: ["path": "\(error.path)", "reason": "\(error.reason)"])
        }
    }
}

package typealias HopTLSError = CertificateError
