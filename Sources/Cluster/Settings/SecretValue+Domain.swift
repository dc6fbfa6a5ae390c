package import Cloud
package import ServiceShell

extension SecretValue {
    /// The same as the domain has it: the bytes of a key in hexadecimal digits. Nil if it is empty or far too long.
    package var domainSecret: Secret? {
        var text = ""
        for byte in self.reveal() {
            let digits = String(byte, radix: 16)
            text += digits.count == 1 ? "0\(digits)" : digits
        }
        return Secret(text)
    }
}
