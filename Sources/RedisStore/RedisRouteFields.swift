import Cloud

/// Routes as they come out of Redis.
enum RedisRouteFields {
    static let count = 7

    /// Seven fields in the order in which the scripts return them; nil if they make no route.
    static func route(of di: DeviceID, _ fields: ArraySlice<RedisValue>) -> Route? {
        let texts = fields.map(\.text)
        guard texts.count == Self.count, let pod = texts[0], let epoch = texts[2].flatMap({ UInt64($0) }),
            let uid = texts[3], let state = texts[4].flatMap(Route.State.init(rawValue:)),
            let since = texts[5].flatMap({ Int64($0) })
        else { return nil }
        return Route(
            di: di, uid: UserID(stored: uid), pod: Pod(name: pod, address: texts[1] ?? ""), epoch: epoch, state: state,
            since: Timestamp(milliseconds: since), takeovers: texts[6].flatMap { Int($0) } ?? 0)
    }

    /// What waiting edges are told: the same, after the device, in lines. No id has a line break; a message that does
    /// not fit is lost, as any message may be.
    static func route(heard payload: [UInt8]) -> Route? {
        guard let text = String(validating: payload, as: UTF8.self) else { return nil }
        let lines = text.split(separator: "\n", omittingEmptySubsequences: false)
        guard lines.count == Self.count + 1 else { return nil }
        let fields = lines.dropFirst().map { RedisValue.status(String($0)) }
        return self.route(of: DeviceID(stored: String(lines[0])), fields[...])
    }
}
