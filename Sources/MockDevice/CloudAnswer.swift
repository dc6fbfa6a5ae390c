import CBOR
package import Cloud
package import CoAP

/// What a cloud's successful answers say. Reading is as strict as real devices are: what these could not use counts as
/// a fault of the cloud.
package enum CloudAnswer {
    package struct Login: Sendable, Equatable {
        package let tokens: Tokens
        /// Seconds, negative for a permanent token.
        package let expiresIn: Int64
        /// Where to sign in instead; nil to stay.
        package let redirect: String?
    }

    /// The answer to `register`, and, where it may leave the user out, to `refresh`.
    package static func login(_ response: Response, uid: String?, now: Timestamp) throws(UnusableAnswer) -> Login {
        let map = try Self.map(response)
        let accessToken = try Self.secret(map, "accesstoken")
        let refreshToken = try Self.secret(map, "refreshtoken")
        let expiresIn = try Self.expiresIn(map)
        guard let uid = map["uid"]?.string ?? uid, !uid.isEmpty else {
            throw UnusableAnswer("it has no text \"uid\"")
        }
        let redirect = map["redirecturi"]?.string.flatMap { $0.isEmpty ? nil : $0 }
        let tokens = Tokens(
            uid: uid, accessToken: accessToken, refreshToken: refreshToken,
            expiresAt: expiresIn < 0 ? nil : now + .seconds(expiresIn)
        )
        return Login(tokens: tokens, expiresIn: expiresIn, redirect: redirect)
    }

    /// The answer to `session`: how long the access token still lives, in seconds, negative for ever.
    package static func session(_ response: Response) throws(UnusableAnswer) -> Int64 {
        try Self.expiresIn(Self.map(response))
    }

    /// The answer to `publish`: the number of each link.
    package static func published(_ response: Response, hrefs: [String]) throws(UnusableAnswer) -> [String: Int64] {
        guard let links = try Self.map(response)["links"]?.elements else {
            throw UnusableAnswer("it has no array \"links\"")
        }
        var numbers: [String: Int64] = [:]
        for link in links {
            if let href = link["href"]?.string, let number = link["ins"]?.integer {
                numbers[href] = number
            }
        }
        if let missing = hrefs.first(where: { numbers[$0] == nil }) {
            throw UnusableAnswer("it has no link with an integer \"ins\" for \(missing)")
        }
        return numbers.filter { hrefs.contains($0.key) }
    }

    private static func map(_ response: Response) throws(UnusableAnswer) -> DataItem {
        switch response.options.contentFormat {
        case .ocfCBOR, .cbor: break
        case let other?: throw UnusableAnswer("its Content-Format is \(other.rawValue), not 10000")
        case nil: throw UnusableAnswer("it has no Content-Format, so that devices take its payload for absent")
        }
        guard let payload = response.payload else { throw UnusableAnswer("it has no payload") }
        let item: DataItem
        do throws(CBORError) {
            item = try DataItem(decoding: payload)
        } catch {
            throw UnusableAnswer("its payload is no CBOR: \(error)")
        }
        guard item.pairs != nil else { throw UnusableAnswer("its payload is \(item.kind), not a map") }
        return item
    }

    private static func secret(_ map: DataItem, _ key: String) throws(UnusableAnswer) -> Secret {
        guard let text = map[key]?.string, !text.isEmpty else {
            throw UnusableAnswer("it has no text \"\(key)\"")
        }
        guard let secret = Secret(text) else {
            throw UnusableAnswer("its \"\(key)\" has more than \(Secret.lengthBytes.upperBound) bytes")
        }
        return secret
    }

    private static func expiresIn(_ map: DataItem) throws(UnusableAnswer) -> Int64 {
        guard let seconds = map["expiresin"]?.integer else { throw UnusableAnswer("it has no integer \"expiresin\"") }
        return seconds
    }
}

/// A 2.xx answer a device can do nothing with: "it has no text \"uid\"".
package struct UnusableAnswer: Error, Sendable, Hashable, CustomStringConvertible {
    package let description: String

    init(_ description: String) {
        self.description = description
    }
}
