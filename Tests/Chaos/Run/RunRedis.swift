import TestServers
import TestSupport

/// The Redis of a run, and what it tells of pods and devices.
struct RunRedis: Sendable {
    let address: String
    private let server: RedisServer

    /// What the gateway puts before the names of all its keys (docs/redis.md).
    private static let prefix = "cg:"

    var port: Int { self.server.port }

    init(address: String) async throws {
        self.address = address
        // Reached from other hosts, without a password: nobody else is in this network.
        self.server = try await RedisServer.start(
            .plain, ["--bind", address, "127.0.0.1", "--protected-mode", "no"])
    }

    func stop() async {
        await self.server.stop()
    }

    func forgetEverything() async throws {
        try await self.server.command("FLUSHALL")
    }

    struct Lease: Sendable, Hashable {
        /// `{pod name}.{boot id}`.
        let pod: String
        /// When it was renewed, in milliseconds of the day's clock, and what that clock said when it was asked.
        let seen: Int64
        let now: Int64
    }

    /// The last renewal of each pod's lease.
    func leases() async throws -> [Lease] {
        let script = """
            local now, lines = redis.call('TIME'), {}
            for _, name in ipairs(redis.call('SMEMBERS', ARGV[1] .. 'pods')) do
              local seen = redis.call('HGET', ARGV[1] .. 'pod:{' .. name .. '}', 'seen')
              if seen then
                table.insert(lines, name .. ' ' .. seen .. ' ' .. string.format('%.0f', now[1] * 1000 + now[2] / 1000))
              end
            end
            return table.concat(lines, '\\n')
            """
        return try await self.server.command("EVAL", script, "0", Self.prefix).split(separator: "\n").compactMap {
            line in
            let words = line.split(separator: " ")
            guard words.count == 3, let seen = Int64(words[1]), let now = Int64(words[2]) else { return nil }
            return Lease(pod: String(words[0]), seen: seen, now: now)
        }
    }

    /// Which devices' routes lead to this pod, given without its boot id.
    func devices(on pod: String) async throws -> [String] {
        let script = """
            local devices, cursor = {}, '0'
            repeat
              local page = redis.call('SCAN', cursor, 'MATCH', ARGV[2] .. 'route:*', 'COUNT', 1000)
              cursor = page[1]
              for _, key in ipairs(page[2]) do
                local route = redis.call('HMGET', key, 'pod', 'state')
                if route[1] and string.sub(route[1], 1, #ARGV[1]) == ARGV[1] and route[2] ~= 'left' then
                  table.insert(devices, string.sub(key, #ARGV[2] + 8, -2))
                end
              end
            until cursor == '0'
            return table.concat(devices, '\\n')
            """
        return try await self.server.command("EVAL", script, "0", "\(pod).", Self.prefix).split(
            separator: "\n"
        ).map(String.init)
    }
}
