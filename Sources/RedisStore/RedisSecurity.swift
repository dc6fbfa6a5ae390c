import NIOCore
import NIOPosix
import NIOSSL

/// TLS towards Redis, if it is asked for. Read anew for each connection, so that a replaced file counts.
struct RedisSecurity: Sendable {
    private let context: NIOSSLContext?
    private let host: String

    init(_ configuration: RedisConfiguration) throws {
        self.host = configuration.host
        switch configuration.encryption {
        case .off:
            self.context = nil
        case .tls(let authorities):
            var settings = TLSConfiguration.makeClientConfiguration()
            settings.certificateVerification = .fullVerification
            do {
                // Not by `.file`: a context that cannot read it throws, and never frees what BoringSSL made for it.
                if let authorities {
                    settings.trustRoots = .certificates(try NIOSSLCertificate.fromPEMFile(authorities))
                }
                self.context = try NIOSSLContext(configuration: settings)
            } catch {
                let file = authorities ?? "of the machine"
                throw RedisError.unavailable(
                    "the certificates \(file) cannot be used: check \(configuration.settings.authorities) (\(error))")
            }
        }
    }

    func add(to pipeline: ChannelPipeline.SynchronousOperations) throws {
        guard let context = self.context else { return }
        // An address is compared with the certificate too, but is no server name.
        let isAddress = (try? SocketAddress(ipAddress: self.host, port: 0)) != nil
        try pipeline.addHandler(NIOSSLClientHandler(context: context, serverHostname: isAddress ? nil : self.host))
    }
}

/// One sentence for operators.
/// - Parameter target: whom was tried to connect to; nil for what ended a connection that was there.
func redisReason(_ error: any Error, target: String? = nil) -> String {
    let place = target.map { "Redis at \($0)" } ?? "Redis"
    switch error {
    case let error as RedisError: return "\(error)"
    case let error as NIOConnectionError:
        guard let first = error.connectionErrors.first else { return "\(place): the name has no address" }
        return redisReason(first.error, target: target)
    case ChannelError.connectTimeout: return "\(place): no answer to the attempt to connect"
    case let error as IOError where error.errnoCode == ECONNREFUSED: return "\(place): nothing listens there"
    case let error as IOError where error.errnoCode == ECONNRESET: return "\(place) reset the connection"
    case let error as NIOSSLError: return "\(place): TLS failed: \(error)"
    case let error as NIOSSLExtraError: return "\(place): TLS failed: \(error)"
    default: return "\(place): \(error)"
    }
}
