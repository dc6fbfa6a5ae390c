package import CoAP

/// How a request between our programs ended without an answer of the other side: the one place that turns it into a
/// response. `Undelivered` says that it can be sent again, `UnknownOutcome` that nobody knows what became of it.
package enum HopOutcome: Hashable, Sendable {
    /// Nobody could be connected to, or it was not the one meant, or the connection went before the last byte did.
    case unreachable(String)
    /// The other side has asked everybody to leave this connection, which ends what was observed over it. It is to be
    /// observed anew, over another connection or wherever it is then.
    case leaving
    /// As many requests are unanswered as may be.
    case windowFull
    /// The time was over before it was sent, or before it was acted on.
    case late
    /// The connection was lost after the last byte had gone out.
    case connectionLost
    /// No answer in time.
    case noAnswer
    case tooLarge(size: Int, maximum: Int)
    /// An answer that cannot be used (RFC 7252 §5.4.1).
    case unusableAnswer(String)

    package init(_ error: ExchangeError) {
        switch error.failure {
        case .timedOut: self = error.delivered ? .noAnswer : .late
        case .connectionLost: self = error.delivered ? .connectionLost : .unreachable("the connection was lost")
        case .closing: self = .unreachable("the connection is about to end")
        case .queueFull: self = .windowFull
        case .tooLarge(let size, let maximum): self = .tooLarge(size: size, maximum: maximum)
        case .unusableResponse(let fault): self = .unusableAnswer(fault.description)
        }
    }

    package var response: Response {
        switch self {
        case .unreachable(let why):
            Self.undelivered(.unreachable, .serviceUnavailable, "the next program cannot be reached: \(why)")
        case .leaving:
            Self.undelivered(.moving, .serviceUnavailable, "the next program ends this connection; observe again")
        case .windowFull:
            Self.undelivered(.queueFull, .serviceUnavailable, "too many requests wait for the next program")
        case .late:
            Self.undelivered(.late, .gatewayTimeout, "the time was over before the request was sent on")
        case .tooLarge(let size, let maximum):
            Self.undelivered(
                .tooLarge, .requestEntityTooLarge, "the request of \(size) bytes exceeds \(maximum) bytes")
        case .connectionLost:
            Self.unknown(.connectionLost, .badGateway, "the connection to the next program was lost")
        case .noAnswer:
            Self.unknown(.noAnswer, .gatewayTimeout, "the next program did not answer in time")
        case .unusableAnswer(let why):
            Self.unknown(.unusableAnswer, .badGateway, "the answer of the next program cannot be used: \(why)")
        }
    }

    private static func undelivered(_ reason: Undelivered, _ code: Code, _ text: String) -> Response {
        var response = Response(code, diagnostic: text, maxAge: code == .serviceUnavailable ? 1 : nil)
        response.options.undelivered = reason
        return response
    }

    private static func unknown(_ outcome: UnknownOutcome, _ code: Code, _ text: String) -> Response {
        var response = Response(code, diagnostic: text)
        response.options.unknownOutcome = outcome
        return response
    }
}
