/// Why a command has no result.
package enum RedisError: Error, Hashable, Sendable {
    /// There is no connection, or it ended before the answer came: the command may have been carried out or not.
    case unavailable(String)
    /// No answer in time. The command may have been carried out, or may still be; its answer is dropped.
    case late
    /// Too many commands wait for their answers, or the command itself is too long.
    case overloaded
    /// Redis answered with an error.
    case answered(String)
    /// Redis answered with something else than the command asks for.
    case unexpected(String)
}

extension RedisError: CustomStringConvertible {
    package var description: String {
        switch self {
        case .unavailable(let reason): reason
        case .late: "Redis did not answer in time"
        case .overloaded: "too many commands wait for Redis: the command was not sent"
        case .answered(let text): "Redis answered with an error: \(text)"
        case .unexpected(let text): "Redis answered with something unexpected: \(text)"
        }
    }
}
