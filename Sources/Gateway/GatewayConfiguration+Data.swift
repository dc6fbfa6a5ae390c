import FoundationEssentials
package import ServiceShell

extension GatewayConfiguration {
    /// The files of the data directory. scripts/reset knows the first one by its name.
    package enum DataFile {
        package static let database = "gateway.sqlite"
        package static let sealKey = "seal-key"
        package static let sid = "sid"
    }

    /// The database, made by whoever opens it.
    package var databasePath: String { "\(self.dataDirectory)/\(DataFile.database)" }

    /// The cloud's identity: the setting, else the one kept in the data directory, made there at the first start.
    package func identity() throws(KeptFile.Failure) -> String {
        if let sid = self.sid { return sid }
        let kept = try KeptFile.value(named: DataFile.sid, in: self.dataDirectory) {
            UUID().uuidString.lowercased()
        }
        guard let sid = Keys.sid.parse(kept).flatMap({ $0 }) else {
            throw KeptFile.Failure(path: "\(self.dataDirectory)/\(DataFile.sid)", reason: "it holds no UUID")
        }
        return sid
    }

    /// The key that seals token answers: the setting, else the one kept in the data directory, made there at the first
    /// start.
    package func sealKey() throws(KeptFile.Failure) -> SecretValue {
        if let key = self.tokenSealKey { return key }
        let kept = try KeptFile.value(named: DataFile.sealKey, in: self.dataDirectory) {
            // The system's generator is fit for keys on Linux: it is getrandom(2).
            var random = SystemRandomNumberGenerator()
            return Data((0..<32).map { _ in UInt8.random(in: .min ... .max, using: &random) }).base64EncodedString()
        }
        guard let key = Keys.tokenSealKey.parse(kept).flatMap({ $0 }) else {
            let path = "\(self.dataDirectory)/\(DataFile.sealKey)"
            throw KeptFile.Failure(path: path, reason: "it does not hold 32 bytes in base64")
        }
        return key
    }
}
