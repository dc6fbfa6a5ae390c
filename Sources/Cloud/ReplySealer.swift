import Crypto

/// Encrypts the answer of a sign-up or refresh while it may have to be repeated (AES-256-GCM, NIST SP 800-38D). The
/// family's id and generation are authenticated with it, so that a reply cannot be moved to another row.
package struct ReplySealer: Sendable {
    /// What the key must have at least, in bytes of text.
    package static let minimumKeyBytes = 32

    private let keys: [SymmetricKey]

    /// - Parameter keys: one or two; the first seals, both open. To rotate, put the new one first and drop the old one
    ///   when every sealed reply of its time is gone (a day is plenty).
    /// - Throws: `badRequest` when there are none, more than two, or one is shorter than 32 bytes.
    package init(keys: [Secret]) throws(CloudError) {
        guard 1...2 ~= keys.count else {
            throw CloudError(
                .badRequest, "\(keys.count) keys for sealed replies: give one, or two while rotating",
                field: "TOKEN_SEAL_KEY")
        }
        for key in keys where key.reveal().utf8.count < Self.minimumKeyBytes {
            throw CloudError(
                .badRequest,
                "a key for sealed replies has fewer than \(Self.minimumKeyBytes) bytes: make one with openssl rand -hex 32",
                field: "TOKEN_SEAL_KEY")
        }
        self.keys = keys.map { key in
            HKDF<SHA256>.deriveKey(
                inputKeyMaterial: SymmetricKey(data: Array(key.reveal().utf8)),
                info: Array("coap-gateway sealed reply 1".utf8),
                outputByteCount: 32,
            )
        }
    }

    /// What one reply consists of, besides the uid, which the family knows.
    struct Pair: Equatable {
        var accessToken: Secret
        var refreshToken: Secret
        var accessExpiresAt: Timestamp?
    }

    func seal(_ pair: Pair, family: FamilyID, generation: Int) throws(CloudError) -> [UInt8] {
        // Tokens of ours contain no newline.
        let expiry = pair.accessExpiresAt.map { String($0.milliseconds) } ?? ""
        let text = "\(pair.accessToken.reveal())\n\(pair.refreshToken.reveal())\n\(expiry)"
        do {
            let box = try AES.GCM.seal(
                Array(text.utf8), using: self.keys[0], authenticating: Self.context(family, generation))
            return Array(box.nonce) + Array(box.ciphertext) + Array(box.tag)
        } catch {
            throw CloudError(.unavailable, "the answer of family \(family) cannot be sealed (\(error)): try again")
        }
    }

    /// Nil when no key opens it: the reply was sealed under a key that is gone, or tampered with.
    func open(_ sealed: [UInt8], family: FamilyID, generation: Int) -> Pair? {
        guard sealed.count > 28 else { return nil }
        for key in self.keys {
            guard
                let nonce = try? AES.GCM.Nonce(data: sealed.prefix(12)),
                let box = try? AES.GCM.SealedBox(
                    nonce: nonce, ciphertext: sealed.dropFirst(12).dropLast(16), tag: sealed.suffix(16)),
                let plain = try? AES.GCM.open(box, using: key, authenticating: Self.context(family, generation))
            else { continue }
            let parts = String(decoding: plain, as: UTF8.self).split(separator: "\n", omittingEmptySubsequences: false)
            guard parts.count == 3, let access = Secret(String(parts[0])), let refresh = Secret(String(parts[1])) else {
                return nil
            }
            return Pair(
                accessToken: access,
                refreshToken: refresh,
                accessExpiresAt: Int64(parts[2]).map(Timestamp.init(milliseconds:)),
            )
        }
        return nil
    }

    private static func context(_ family: FamilyID, _ generation: Int) -> [UInt8] {
        Array("\(family.text) \(generation)".utf8)
    }
}
