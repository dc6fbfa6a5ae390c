import CBOR
import Cloud
import NIOCore
import OCF

/// What outlives the program: who the device is and what the cloud gave it. A file of JSON only its owner may read.
package struct SavedState: Sendable, Equatable {
    package var address: ServerAddress
    package var di: String
    package var tokens: Tokens

    package init(address: ServerAddress, di: String, tokens: Tokens) {
        self.address = address
        self.di = di
        self.tokens = tokens
    }
}

package struct StateFile: Sendable {
    package let path: String

    package init(path: String) {
        self.path = path
    }

    private static let maximumBytes = 16_384

    /// - Returns: nil if there is no such file yet.
    package func load() throws(StateFileError) -> SavedState? {
        guard let bytes = try self.read() else { return nil }
        let item: DataItem
        do throws(JSONError) {
            item = try JSONCoding.decode(ByteBuffer(bytes: bytes))
        } catch {
            throw StateFileError(self.path, "is no JSON (\(error))")
        }
        guard let addressText = item["address"]?.string, let di = item["di"]?.string, let uid = item["uid"]?.string,
            let accessToken = item["accesstoken"]?.string.flatMap(Secret.init),
            let refreshToken = item["refreshtoken"]?.string.flatMap(Secret.init),
            let expiresAt = item["expiresat"]
        else {
            throw StateFileError(
                self.path, "lacks one of address, di, uid, accesstoken, refreshtoken and expiresat"
            )
        }
        do throws(AddressError) {
            return SavedState(
                address: try ServerAddress(parsing: addressText), di: di,
                tokens: Tokens(
                    uid: uid, accessToken: accessToken, refreshToken: refreshToken,
                    expiresAt: expiresAt.integer.map(Timestamp.init(milliseconds:))
                )
            )
        } catch {
            throw StateFileError(self.path, "holds no good address (\(error))")
        }
    }

    /// Replaces the file as a whole: whoever reads it meanwhile sees the old one or the new one.
    package func save(_ state: SavedState) throws(StateFileError) {
        let item: DataItem = .map([
            "address": .text(state.address.description), "di": .text(state.di), "uid": .text(state.tokens.uid),
            "accesstoken": .text(state.tokens.accessToken.reveal()),
            "refreshtoken": .text(state.tokens.refreshToken.reveal()),
            "expiresat": state.tokens.expiresAt.map { DataItem(integer: $0.milliseconds) } ?? .null,
        ])
        let bytes = Array(JSONCoding.encode(item).readableBytesView) + [UInt8(ascii: "\n")]
        do throws(SecretFileError) {
            try SecretFile(path: self.path).replace(with: bytes)
        } catch {
            throw StateFileError(self.path, error.problem)
        }
    }

    private func read() throws(StateFileError) -> [UInt8]? {
        do throws(SecretFileError) {
            return try SecretFile(path: self.path).read(atMost: Self.maximumBytes)
        } catch {
            throw StateFileError(self.path, error.problem)
        }
    }
}

/// The state file is of no use, with what to do.
package struct StateFileError: Error, Sendable, Hashable, CustomStringConvertible {
    package let description: String

    init(_ path: String, _ problem: String) {
        self.description =
            "The state file \(sanitized(path, limit: 300)) \(problem). Remove it, or name another one with --state; the "
            + "device can always register again."
    }
}
