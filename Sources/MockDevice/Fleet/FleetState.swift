import CBOR
import Cloud
import NIOCore
import OCF

/// What outlives a run of one device.
package struct FleetSavedDevice: Sendable, Equatable {
    package var di: String
    package var tokens: Tokens
    package var hasPublished: Bool

    package init(di: String, tokens: Tokens, hasPublished: Bool) {
        self.di = di
        self.tokens = tokens
        self.hasPublished = hasPublished
    }
}

/// What outlives a run of a fleet: a file with one JSON object a line, that only its owner may read.
package struct FleetStateFile: Sendable {
    /// A million devices.
    private static let maximumBytes = 512 << 20

    private let file: SecretFile

    package init(path: String) {
        self.file = SecretFile(path: path)
    }

    /// - Returns: the devices by their ids, none if there is no such file.
    package func load() throws(FleetError) -> [String: FleetSavedDevice] {
        let bytes: [UInt8]?
        do throws(SecretFileError) {
            bytes = try self.file.read(atMost: Self.maximumBytes)
        } catch {
            throw self.failure(error.problem)
        }
        var devices: [String: FleetSavedDevice] = [:]
        for (number, line) in (bytes ?? []).split(separator: UInt8(ascii: "\n")).enumerated() {
            guard let device = FleetSavedDevice(line) else {
                throw self.failure("holds no device in line \(number + 1)")
            }
            devices[device.di] = device
        }
        return devices
    }

    package func save(_ devices: [FleetSavedDevice]) throws(FleetError) {
        var bytes: [UInt8] = []
        for device in devices {
            bytes += device.line
        }
        do throws(SecretFileError) {
            try self.file.replace(with: bytes)
        } catch {
            throw self.failure(error.problem)
        }
    }

    private func failure(_ problem: String) -> FleetError {
        FleetError(
            "The state file \(sanitized(self.file.path, limit: 300)) \(problem). Remove it, or name another one with "
                + "--state; devices can always sign up again.")
    }
}

extension FleetSavedDevice {
    fileprivate var line: [UInt8] {
        let item: DataItem = .map([
            "di": .text(self.di), "uid": .text(self.tokens.uid),
            "accesstoken": .text(self.tokens.accessToken.reveal()),
            "refreshtoken": .text(self.tokens.refreshToken.reveal()),
            "expiresat": self.tokens.expiresAt.map { DataItem(integer: $0.milliseconds) } ?? .null,
            "published": .boolean(self.hasPublished),
        ])
        return Array(JSONCoding.encode(item).readableBytesView) + [UInt8(ascii: "\n")]
    }

    fileprivate init?(_ line: ArraySlice<UInt8>) {
        guard let item = try? JSONCoding.decode(ByteBuffer(bytes: line)), let di = item["di"]?.string,
            let uid = item["uid"]?.string, let expiresAt = item["expiresat"],
            let accessToken = item["accesstoken"]?.string.flatMap(Secret.init),
            let refreshToken = item["refreshtoken"]?.string.flatMap(Secret.init),
            let hasPublished = item["published"]?.flag
        else { return nil }
        self.init(
            di: di,
            tokens: Tokens(
                uid: uid, accessToken: accessToken, refreshToken: refreshToken,
                expiresAt: expiresAt.integer.map(Timestamp.init(milliseconds:))),
            hasPublished: hasPublished)
    }
}
