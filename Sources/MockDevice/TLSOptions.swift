import ArgumentParser

/// Whom to believe over TLS, and what to show.
struct TLSOptions: ParsableArguments {
    @Option(
        help: .init("Whom to believe over TLS: a PEM file of authorities (default: the system's).", valueName: "file"))
    var ca: String?

    @Option(help: .init("The certificate to show over TLS, a PEM file.", valueName: "file"))
    var certificate: String?

    @Option(help: .init("The key of that certificate, a PEM file.", valueName: "file"))
    var key: String?

    var trust: TLSTrust { TLSTrust(authorities: self.ca, certificate: self.certificate, key: self.key) }

    func validate() throws {
        guard (self.certificate == nil) == (self.key == nil) else {
            throw ValidationError("--certificate and --key go together")
        }
    }
}
