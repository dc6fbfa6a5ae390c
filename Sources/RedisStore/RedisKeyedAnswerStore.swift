package import Cloud
import NIOCore

/// The answers to requests with keys, a hash for each, in Redis: whichever northbound the request is sent to again, it
/// is delivered once.
///
/// The time is the server's. An answer is its status and fields as lines of text, an empty line, and its body.
package final class RedisKeyedAnswerStore: KeyedAnswerStore {
    /// KEYS answer, answers of the owner. ARGV content, limit ms, lifetime ms, bytes, most bytes of the owner.
    private static let begin = RedisScript(
        """
        local content = redis.call('HGET', KEYS[1], 'content')
        local time = redis.call('TIME')
        local now = time[1] * 1000 + math.floor(time[2] / 1000)
        if not content then
          if tonumber(redis.call('GET', KEYS[2]) or '0') + ARGV[4] > tonumber(ARGV[5]) then return {'many'} end
          redis.call('HSET', KEYS[1], 'content', ARGV[1], 'until', string.format('%.0f', now + ARGV[2]))
          redis.call('PEXPIRE', KEYS[1], ARGV[3])
          if redis.call('INCRBY', KEYS[2], ARGV[4]) == tonumber(ARGV[4]) then
            redis.call('PEXPIRE', KEYS[2], ARGV[3])
          end
          return {'first'}
        end
        if content ~= ARGV[1] then return {'different'} end
        local answer = redis.call('HGET', KEYS[1], 'answer')
        if answer then return {'answered', answer} end
        if now < tonumber(redis.call('HGET', KEYS[1], 'until')) then return {'running'} end
        return {'unknown'}
        """)

    /// Nothing is written where there is nothing: it would live for ever.
    /// KEYS answer, answers of the owner. ARGV content, end, answer.
    private static let end = RedisScript(
        """
        if redis.call('HGET', KEYS[1], 'content') ~= ARGV[1] then return 0 end
        if ARGV[2] == 'undelivered' then
          redis.call('DEL', KEYS[1])
        elseif ARGV[2] == 'unknown' then
          redis.call('HSET', KEYS[1], 'until', '0')
        else
          redis.call('HSET', KEYS[1], 'answer', ARGV[3])
          if redis.call('EXISTS', KEYS[2]) == 1 then redis.call('INCRBY', KEYS[2], #ARGV[3]) end
        end
        return 1
        """)

    private let client: RedisClient
    private let keys: RedisKeys

    package init(client: RedisClient) {
        self.client = client
        self.keys = RedisKeys(prefix: client.configuration.keyPrefix)
    }

    package func begin(_ request: KeyedRequest, limit: Duration) async throws(RouteStoreUnavailable) -> KeyedStanding {
        let answer = await self.run(
            Self.begin, request,
            [
                request.content.bytes.hexadecimal, "\(limit.clampedMilliseconds)",
                "\(KeyedAnswerLimits.lifetime.clampedMilliseconds)", "\(KeyedAnswerLimits.overheadBytes)",
                "\(KeyedAnswerLimits.ownerBytes)",
            ])
        let value: RedisValue
        do {
            value = try answer.get()
        } catch {
            throw RouteStoreUnavailable(reason: "\(error)")
        }
        guard case .array(let items) = value, let standing = Self.standing(items) else {
            throw RouteStoreUnavailable(reason: "the answers in Redis are of another version")
        }
        return standing
    }

    package func end(_ request: KeyedRequest, _ end: KeyedEnd) async {
        let content = request.content.bytes.hexadecimal
        // Unknown from its limit on, if this gets lost.
        switch end {
        case .undelivered:
            _ = await self.run(Self.end, request, [content, "undelivered"])
        case .answered(let answer) where answer.bytes <= KeyedAnswerLimits.answerBytes:
            _ = await self.run(Self.end, request, [content, "answered"], value: Self.value(answer))
        case .answered, .unknown:
            _ = await self.run(Self.end, request, [content, "unknown"])
        }
    }

    private func run(
        _ script: RedisScript, _ request: KeyedRequest, _ arguments: [String], value: [UInt8]? = nil
    ) async -> Result<RedisValue, RedisError> {
        let keys = [
            self.keys.answer(request.uid.text, request.name.bytes), self.keys.answers(request.uid.text),
        ]
        let deadline = NIODeadline.now() + TimeAmount(self.client.configuration.limits.hurried)
        return await withCheckedContinuation { continuation in
            self.client.run(
                script, byText: false, keys: keys, arguments: arguments, value: value, deadline: deadline
            ) { continuation.resume(returning: $0) }
        }
    }

    private static func standing(_ items: [RedisValue]) -> KeyedStanding? {
        switch items.first?.text {
        case "first": return .first
        case "running": return .running
        case "different": return .different
        case "many": return .tooMany
        case "unknown": return .unknown
        case "answered":
            guard items.count == 2, case .bytes(let bytes) = items[1] else { return nil }
            return Self.answer(bytes).map { .answered($0) }
        default: return nil
        }
    }

    private static func value(_ answer: KeyedAnswer) -> [UInt8] {
        let lines = ["\(answer.status)"] + answer.fields.map { "\($0.name): \($0.value)" }
        return Array((lines.joined(separator: "\n") + "\n\n").utf8) + answer.body
    }

    private static func answer(_ bytes: [UInt8]) -> KeyedAnswer? {
        let newline = UInt8(ascii: "\n")
        var rest = bytes[...]
        var lines: [String] = []
        while let end = rest.firstIndex(of: newline), end > rest.startIndex {
            guard let line = String(validating: rest[..<end], as: UTF8.self) else { return nil }
            lines.append(line)
            rest = rest[(end + 1)...]
        }
        guard rest.first == newline, let status = lines.first.flatMap({ Int($0) }) else { return nil }
        let fields = lines.dropFirst().compactMap { line in
            line.firstRange(of: ": ").map {
                KeyedAnswer.Field(name: String(line[..<$0.lowerBound]), value: String(line[$0.upperBound...]))
            }
        }
        return KeyedAnswer(status: status, fields: fields, body: Array(rest.dropFirst()))
    }
}
