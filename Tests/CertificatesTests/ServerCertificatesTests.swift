import Certificates
import Logging
import Testing

@Suite("Certificates of a listener")
struct ServerCertificatesTests {
    @Test("a file that is not there is named")
    func missing() {
        #expect(throws: CertificateError.self) {
            try ServerCertificates(
                files: .init(certificate: "/nonexistent.pem", key: "/nonexistent.key"), logger: Logger(label: "test"))
        }
    }
}
