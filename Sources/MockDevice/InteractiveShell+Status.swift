import CBOR
import Cloud

/// What `status` and `resources` show.
extension InteractiveShell {
    static func lines(for status: CloudDevice.Status) -> [String] {
        let connection = status.isConnected ? "connected" : "not connected"
        let session = status.isSignedIn ? "signed in" : "not signed in"
        let uid = status.uid.isEmpty ? "not known yet" : sanitized(status.uid, limit: 300)
        var lines = [
            "address        \(status.address), \(connection), \(session)",
            "user ID        \(uid)",
            "device ID      \(sanitized(status.di, limit: 300))",
            "one-time token \(Self.shown(status.answers.oneTimeToken))",
        ]
        if let tokens = status.tokens {
            lines.append("access token   \(tokens.accessToken), \(Self.lifetime(tokens.expiresAt))")
            lines.append("refresh token  \(tokens.refreshToken)")
        } else {
            lines.append("access token   \(Self.shown(status.answers.accessToken))")
            lines.append("refresh token  \(Self.shown(status.answers.refreshToken))")
        }
        let published = status.published.isEmpty ? "nothing in this run" : "\(status.published.count) links"
        lines.append("published      \(published)")
        lines.append("served         \(status.served) requests")
        return lines
    }

    private static func shown(_ secret: Secret?) -> String {
        secret.map(\.description) ?? "none"
    }

    private static func lifetime(_ end: Timestamp?) -> String {
        guard let end else { return "never ends" }
        let rest = end - SystemWallClock().now()
        return rest > .zero ? "ends in \(rest.spoken)" : "has ended: type refresh"
    }

    static func line(for resource: DeviceResource, number: Int64?) -> String {
        let types = resource.types.joined(separator: " ")
        let published = number.map { ", published as ins \($0)" } ?? ""
        let holds =
            resource.properties.isEmpty
            ? "answers everything with \"\(DeviceModel.text)\"" : json(resource.representation())
        return "\(resource.href)  \(holds)  (\(types)\(published))"
    }
}
