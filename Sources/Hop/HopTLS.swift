import Glibc
package import Logging
package import NIOCore
import NIOPosix
import NIOSSL
import Synchronization

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

    private struct State {
        var server: NIOSSLContext
        var client: NIOSSLContext
        var stamp: [FileStamp]
        var nextLook: NIODeadline
        var isLooking = false
    }

    private let files: Files
    /// The Kubernetes namespace the pods' names are in.
    private let namespace: String
    private let interval: TimeAmount
    private let logger: Logger
    private let state: Mutex<State>

    /// - Parameters:
    ///   - interval: how often to look for changed files, at most; connections being made are the occasion.
    /// - Throws: when a file cannot be read or used; the message names it.
    package init(
        files: Files, namespace: String, interval: TimeAmount = .seconds(10), logger: Logger
    ) throws(HopTLSError) {
        self.files = files
        self.namespace = namespace
        self.interval = interval
        self.logger = logger
        let stamp = Self.stamp(of: files)
        let (server, client) = try Self.load(files)
        self.state = Mutex(State(server: server, client: client, stamp: stamp, nextLook: .now() + interval))
    }

    /// For an accepted connection: demands a certificate of one of the authorities.
    func serverHandler() -> NIOSSLServerHandler {
        self.lookForChanges()
        return NIOSSLServerHandler(context: self.state.withLock { $0.server })
    }

    /// For a dialled connection: demands a certificate of one of the authorities with the target's name.
    func clientHandler(for target: HopTarget) throws -> NIOSSLClientHandler {
        self.lookForChanges()
        // A registry may be given by its address. No certificate is asked for an address itself: it is a pod's.
        let wished = target.certificateName ?? target.host
        let name = Self.podName(address: wished, namespace: self.namespace) ?? wished
        return try NIOSSLClientHandler(context: self.state.withLock { $0.client }, serverHostname: name)
    }

    /// The name Kubernetes gives a pod with this address: `10-0-0-7.NAMESPACE.pod.cluster.local`. Nil if it is none.
    package static func podName(address: String, namespace: String) -> String? {
        let bare = address.prefix { $0 != "%" }
        guard (try? SocketAddress(ipAddress: String(bare), port: 0)) != nil else { return nil }
        let dashed = String(bare.map { $0 == "." || $0 == ":" ? "-" : $0 })
        return "\(dashed).\(namespace).pod.cluster.local"
    }

    // MARK: Files

    private static func load(_ files: Files) throws(HopTLSError) -> (server: NIOSSLContext, client: NIOSSLContext) {
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
            return (try NIOSSLContext(configuration: server), try NIOSSLContext(configuration: client))
        } catch {
            throw HopTLSError(path: path, reason: "\(error)")
        }
    }

    /// Reading files blocks, so a thread beside the event loops does it; the connection at hand goes by what there is.
    private func lookForChanges() {
        let now = NIODeadline.now()
        let isDue = self.state.withLock { state in
            guard !state.isLooking, state.nextLook <= now else { return false }
            state.isLooking = true
            state.nextLook = now + self.interval
            return true
        }
        guard isDue else { return }
        NIOThreadPool.singleton.submit { _ in self.reloadIfChanged() }
    }

    /// What cannot be read or used is left as it was: the next look finds it again.
    package func reloadIfChanged() {
        defer { self.state.withLock { $0.isLooking = false } }
        let stamp = Self.stamp(of: self.files)
        guard self.state.withLock({ $0.stamp }) != stamp else { return }
        do throws(HopTLSError) {
            let (server, client) = try Self.load(self.files)
            self.state.withLock { state in
                state.server = server
                state.client = client
                state.stamp = stamp
            }
            self.logger.info(
                "certificates between programs read anew", metadata: ["path": "\(self.files.certificate)"])
        } catch {
            self.logger.warning(
                "the changed certificates between programs cannot be used: the old ones stay",
                metadata: ["path": "\(error.path)", "reason": "\(error.reason)"])
        }
    }

    private static func stamp(of files: Files) -> [FileStamp] {
        ([files.certificate, files.key] + files.authorities).map(FileStamp.init(path:))
    }
}

/// Which file could not be used, and why.
package struct HopTLSError: Error, CustomStringConvertible {
    package let path: String
    package let reason: String

    package var description: String { "\(self.path): \(self.reason)" }
}

/// What changes when a file is replaced or written; zeros if it is not there.
private struct FileStamp: Hashable, Sendable {
    private let inode: UInt64
    private let size: Int
    private let seconds: Int
    private let nanoseconds: Int

    init(path: String) {
        var status = stat()
        let isThere = stat(path, &status) == 0
        self.inode = isThere ? UInt64(status.st_ino) : 0
        self.size = isThere ? Int(status.st_size) : 0
        self.seconds = isThere ? Int(status.st_mtim.tv_sec) : 0
        self.nanoseconds = isThere ? Int(status.st_mtim.tv_nsec) : 0
    }
}
