import CoAPTransport
import NIOSSL

/// What a conformance run is told.
package struct ConformancePlan: Sendable {
    /// The ways into the same cloud; the first is the one that most cases take.
    package let addresses: [ServerAddress]
    package let http: HTTPDoor?
    package let provisioner: Provisioner
    /// For one answer.
    package private(set) var patience: Duration
    /// For what the cloud does in its own time: a keepalive, the end of a token.
    package private(set) var slowPatience: Duration
    package let trust: TLSTrust

    /// Registers the users that the run needs, where that is for us to do.
    /// - Throws: `CaseFailure` when that was refused, errors of NIOSSL when a file of `trust` cannot be used.
    package init(
        addresses: [ServerAddress], http: HTTPDoor?, codes source: Provisioner.Source, patience: Duration,
        slowPatience: Duration, trust: TLSTrust,
    ) async throws {
        self.addresses = addresses
        self.http = http
        self.provisioner = try await Provisioner(source, tls: try trust.context(), patience: patience)
        self.patience = patience
        self.slowPatience = slowPatience
        self.trust = trust
    }

    /// The same with other waits.
    package func with(patience: Duration, slowPatience: Duration) -> ConformancePlan {
        var plan = self
        plan.patience = patience
        plan.slowPatience = slowPatience
        return plan
    }

    /// The first of the addresses that is one of these.
    func address(where isFit: (ServerAddress.Scheme) -> Bool) -> ServerAddress? {
        self.addresses.first { isFit($0.scheme) }
    }

    func tlsContext() throws -> NIOSSLContext { try self.trust.context() }

    /// Where a case connects, or why it cannot be tried.
    func address(for needs: Set<ConformanceCase.Need>) throws(CaseSkip) -> ServerAddress {
        if needs.contains(.http), self.http == nil { throw CaseSkip("needs --http") }
        if needs.contains(.secondUser), !self.provisioner.hasSecondUser {
            throw CaseSkip("needs codes of a second user: --http or --provision")
        }
        if needs.contains(.clientCertificate), !self.trust.hasClientCertificate {
            throw CaseSkip("needs the certificate of a device: --certificate and --key")
        }
        let address: ServerAddress?
        let wanted: String
        if needs.contains(.webSocket) {
            (address, wanted) = (self.address { $0.isWebSocket }, "a coap+ws or coaps+ws address")
        } else if needs.contains(.tls) {
            (address, wanted) = (self.address { $0 == .tls }, "a coaps+tcp address")
        } else if needs.contains(.stream) {
            (address, wanted) = (self.address { !$0.isWebSocket }, "a coap+tcp or coaps+tcp address")
        } else {
            (address, wanted) = (self.addresses.first, "an address")
        }
        guard let address else { throw CaseSkip("needs \(wanted)") }
        return address
    }
}
