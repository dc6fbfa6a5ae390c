/// The scripts on routes and leases. The rules are those of `InMemoryRouteStore`; a test runs both side by side.
///
/// The first argument of each is what is added to the server's clock, in µs: 0, but for tests.
enum RedisRouteScripts {
    static let all = [claim, assert, mark, drop, look, renew]

    /// Numbers are printed by `%.0f`: Lua's own way keeps 14 digits. Pod names are compared byte by byte: Lua's own
    /// comparison goes by the server's locale.
    private static let common = #"""
        local time = redis.call('TIME')
        local now = tonumber(time[1]) * 1000000 + tonumber(time[2]) + tonumber(ARGV[1])
        local ms = math.floor(now / 1000)
        local function text(number) return string.format('%.0f', number) end
        local function number(value) return tonumber(value or '') or 0 end

        """#

    private static let read = #"""
        local old = redis.call('HMGET', KEYS[1],
          'pod', 'address', 'epoch', 'uid', 'state', 'since', 'takeovers', 'counted', 'contested', 'moved')
        local held = old[1] and old[5] ~= 'left'

        """#

    /// Tells the edges that wait for the device. It is a hint: a failure must not undo the rest.
    private static let wake = #"""
        local function wake(channel, fields)
          local edges = redis.call('SMEMBERS', KEYS[2])
          if #edges == 0 then return end
          local route = table.concat(fields, '\n')
          for _, edge in ipairs(edges) do redis.pcall('PUBLISH', channel .. edge, route) end
          redis.call('DEL', KEYS[2])
        end

        """#

    /// KEYS route, wait. ARGV shift, pod, address, uid, floor, replacing or '', lifetime ms, window ms, takeovers that
    /// make it contested, for how many ms, channel prefix, di, the server's time in ms after which nobody waits for it
    /// or ''.
    static let claim = RedisScript(
        common + read + wake + #"""
            if ARGV[13] ~= '' and ms > number(ARGV[13]) then return {'late', text(ms)} end
            if held and ms < number(old[9]) and ARGV[6] ~= old[3] then
              return {'contested', unpack(old, 1, 7)}
            end
            local epoch = math.max(number(old[3]) + 1, number(ARGV[5]) + 1, now)
            local takeovers, counted, contested = 0, ms, 0
            if old[1] and ms - number(old[8]) < number(ARGV[8]) then
              takeovers, counted = number(old[7]), number(old[8])
            end
            if held then takeovers = takeovers + 1 end
            if takeovers >= number(ARGV[9]) then contested = ms + number(ARGV[10]) end
            redis.call('HSET', KEYS[1], 'pod', ARGV[2], 'address', ARGV[3], 'epoch', text(epoch), 'uid', ARGV[4],
              'state', 'live', 'since', text(ms), 'takeovers', text(takeovers), 'counted', text(counted),
              'contested', text(contested))
            redis.call('PEXPIRE', KEYS[1], ARGV[7])
            wake(ARGV[11], {ARGV[12], ARGV[2], ARGV[3], text(epoch), ARGV[4], 'live', text(ms), text(takeovers)})
            local moved = old[10] or ''
            if not held then return {'claimed', text(epoch), text(ms), text(takeovers), moved} end
            return {'claimed', text(epoch), text(ms), text(takeovers), moved, unpack(old, 1, 7)}
            """#)

    /// KEYS route, wait. ARGV shift, pod, address, uid, epoch, lifetime ms, channel prefix, di.
    static let assert = RedisScript(
        common + read + wake + #"""
            local function greater(one, other)
              for i = 1, math.min(#one, #other) do
                local a, b = string.byte(one, i), string.byte(other, i)
                if a ~= b then return a > b end
              end
              return #one > #other
            end
            if old[1] then
              local stored, mine = number(old[3]), number(ARGV[5])
              if stored == mine and old[1] == ARGV[2] then
                if held then redis.call('PEXPIRE', KEYS[1], ARGV[6]) end
                return {'ours'}
              end
              if stored > mine or (stored == mine and greater(old[1], ARGV[2])) then
                return {'superseded', unpack(old, 1, 7)}
              end
            end
            redis.call('HSET', KEYS[1], 'pod', ARGV[2], 'address', ARGV[3], 'epoch', ARGV[5], 'uid', ARGV[4],
              'state', 'live', 'since', text(ms), 'takeovers', '0', 'counted', text(ms), 'contested', '0')
            redis.call('PEXPIRE', KEYS[1], ARGV[6])
            wake(ARGV[7], {ARGV[8], ARGV[2], ARGV[3], ARGV[5], ARGV[4], 'live', text(ms), '0'})
            if not held then return {'ours'} end
            return {'ours', unpack(old, 1, 7)}
            """#)

    /// KEYS route. ARGV shift, pod, epoch, state, lifetime ms of a route in that state.
    static let mark = RedisScript(
        common + read + #"""
            if old[1] ~= ARGV[2] or old[3] ~= ARGV[3] or old[5] == ARGV[4] then return 0 end
            redis.call('HSET', KEYS[1], 'state', ARGV[4], 'since', text(ms))
            if ARGV[4] == 'moving' then redis.call('HSET', KEYS[1], 'moved', text(ms)) end
            redis.call('PEXPIRE', KEYS[1], ARGV[5])
            return 1
            """#)

    /// KEYS route. ARGV shift, pod, epoch.
    static let drop = RedisScript(
        read + #"""
            if old[1] ~= ARGV[2] or old[3] ~= ARGV[3] then return 0 end
            return redis.call('DEL', KEYS[1])
            """#)

    /// Reads a route, and unless it is live, notes who waits for it. The pod's lease is kept elsewhere: whoever finds
    /// out that it lapsed looks again and says that he waits in any case.
    ///
    /// KEYS route, wait. ARGV shift, edge or '', '1' to wait in any case, lifetime of the note in ms, most edges.
    static let look = RedisScript(
        common + read + #"""
            if ARGV[2] ~= '' and (ARGV[3] == '1' or old[5] ~= 'live') then
              if redis.call('SCARD', KEYS[2]) < number(ARGV[5]) then redis.call('SADD', KEYS[2], ARGV[2]) end
              redis.call('PEXPIRE', KEYS[2], ARGV[4])
            end
            if not old[1] then return {text(ms)} end
            return {text(ms), old[10] or '', unpack(old, 1, 7)}
            """#)

    /// KEYS pod. ARGV shift, address, sessions, lease ms, lifetime ms, '1' if it drains or '0', age ms, endpoints.
    static let renew = RedisScript(
        common + #"""
            local seen = redis.call('HGET', KEYS[1], 'seen')
            redis.call('HSET', KEYS[1], 'address', ARGV[2], 'sessions', ARGV[3], 'seen', text(ms),
              'draining', ARGV[6], 'since', text(ms - number(ARGV[7])),
              'endpoints', ARGV[8])
            redis.call('PEXPIRE', KEYS[1], ARGV[5])
            if seen and ms - number(seen) < number(ARGV[4]) then return 'held' end
            return 'lapsed'
            """#)
}
