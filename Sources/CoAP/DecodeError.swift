/// A message that breaks the format. Always the end of its connection: Abort, then close (RFC 8323 §5.6).
package enum DecodeError: Error, Hashable, Sendable {
    /// The declared size exceeds what we announced (RFC 8323 §5.3.1).
    case messageTooLarge(declared: Int, maximum: Int)
    /// TKL 9…12 or 15, or an extended length that was not announced (RFC 7252 §3, RFC 8974 §2.1).
    case tokenLength(nibble: UInt8)
    /// An extended token longer than announced (RFC 8974 §2.2.1).
    case tokenTooLong(length: Int, maximum: Int)
    /// Delta or length nibble 15 outside the payload marker (RFC 7252 §3.1).
    case reservedOptionNibble
    /// An option reaches past the end of the message (RFC 7252 §3.1).
    case optionPastEnd
    /// The deltas add up to more than 65535 (RFC 7252 §3.1).
    case optionNumberOverflow
    /// More options than we take in one message.
    case tooManyOptions(maximum: Int)
    /// A payload marker with nothing behind it (RFC 7252 §3).
    case emptyPayload
    /// Code class 1 or 6 (RFC 7252 §4.2).
    case reservedCodeClass(Code)
    /// A WebSocket message whose length nibble is not 0 (RFC 8323 §4.2).
    case lengthInWebSocket(nibble: UInt8)
    /// A WebSocket message that ends before its token does (RFC 8323 §4.2).
    case shortMessage
}

extension DecodeError: CustomStringConvertible {
    package var description: String {
        switch self {
        case .messageTooLarge(let declared, let maximum):
            "message of \(declared) bytes exceeds Max-Message-Size \(maximum) (RFC 8323 §5.3.1)"
        case .tokenLength(let nibble):
            "token length nibble \(nibble) (RFC 7252 §3)"
        case .tokenTooLong(let length, let maximum):
            "token of \(length) bytes, at most \(maximum) announced (RFC 8974 §2.2.1)"
        case .reservedOptionNibble:
            "option nibble 15 outside the payload marker (RFC 7252 §3.1)"
        case .optionPastEnd:
            "option runs past the end of the message (RFC 7252 §3.1)"
        case .optionNumberOverflow:
            "option numbers add up to more than 65535 (RFC 7252 §3.1)"
        case .tooManyOptions(let maximum):
            "more than \(maximum) options in one message"
        case .emptyPayload:
            "payload marker without a payload (RFC 7252 §3)"
        case .reservedCodeClass(let code):
            "reserved code class in \(code) (RFC 7252 §4.2)"
        case .lengthInWebSocket(let nibble):
            "length nibble \(nibble) in a WebSocket message (RFC 8323 §4.2)"
        case .shortMessage:
            "a WebSocket message ends before its token does (RFC 8323 §4.2)"
        }
    }

    /// A word from a closed set for metrics and logs.
    package var reason: String {
        switch self {
        case .messageTooLarge: "message-too-large"
        case .tokenLength, .tokenTooLong: "token-length"
        case .reservedOptionNibble: "option-nibble"
        case .optionPastEnd: "option-past-end"
        case .optionNumberOverflow: "option-overflow"
        case .tooManyOptions: "too-many-options"
        case .emptyPayload: "empty-payload"
        case .reservedCodeClass: "reserved-code"
        case .lengthInWebSocket: "websocket-length"
        case .shortMessage: "short-message"
        }
    }
}
