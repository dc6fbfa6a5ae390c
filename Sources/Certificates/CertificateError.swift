/// Which file could not be used, and why.
package struct CertificateError: Error, Hashable, Sendable, CustomStringConvertible {
    package let path: String
    package let reason: String

    package init(path: String, reason: String) {
        self.path = path
        self.reason = reason
    }

    package var description: String { "\(self.path): \(self.reason)" }
}
