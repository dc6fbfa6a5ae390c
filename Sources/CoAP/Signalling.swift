import NIOCore

/// Numbers of signalling options: each code has a number space of its own (RFC 8323 §5.1).
enum SignallingOption {
    static let maxMessageSize = OptionNumber(rawValue: 2)  // CSM, RFC 8323 §5.3.1
    static let blockWiseTransfer = OptionNumber(rawValue: 4)  // CSM, RFC 8323 §5.3.2
    static let extendedTokenLength = OptionNumber(rawValue: 6)  // CSM, RFC 8974 §2.2.1
    static let custody = OptionNumber(rawValue: 2)  // Ping and Pong, RFC 8323 §5.4.1
    static let alternativeAddress = OptionNumber(rawValue: 2)  // Release, RFC 8323 §5.5
    static let holdOff = OptionNumber(rawValue: 4)  // Release, RFC 8323 §5.5
    static let badCSMOption = OptionNumber(rawValue: 2)  // Abort, RFC 8323 §5.6
}

/// What one CSM says. Nil leaves what an earlier one said (RFC 8323 §5.3: cumulative).
package struct CSM: Hashable, Sendable {
    /// The largest message the sender takes, whole, in bytes.
    package var maxMessageSize: UInt32?
    /// The sender does block-wise transfers; BERT too if its Max-Message-Size exceeds 1152.
    package var blockWiseTransfer: Bool
    /// The longest token the sender takes as a server (RFC 8974 §2.2.1).
    package var extendedTokenLength: UInt32?

    package init(maxMessageSize: UInt32? = nil, blockWiseTransfer: Bool = false, extendedTokenLength: UInt32? = nil) {
        self.maxMessageSize = maxMessageSize
        self.blockWiseTransfer = blockWiseTransfer
        self.extendedTokenLength = extendedTokenLength
    }
}

/// A signalling message (7.xx), read.
package enum Signal: Hashable, Sendable {
    case csm(CSM)
    case ping(custody: Bool)
    case pong(custody: Bool)
    case release(alternativeAddresses: [String], holdOffSeconds: UInt32?)
    case abort(badCSMOption: UInt16?, diagnostic: String?)
    /// 7.06…7.31 and 7.00. Unspecified: ignored.
    case unknown(Code)
}

/// An option in a signalling message that is critical and unknown (RFC 8323 §5.1): the connection is aborted.
package struct UnknownCriticalSignallingOption: Error, Hashable, Sendable {
    package let code: Code
    package let number: OptionNumber
}

extension Signal {
    /// The longest diagnostic text kept of an Abort, in bytes: what a peer sends ends up in our log.
    package static let diagnosticMaximumBytes = 256

    /// Reads a message whose code is 7.xx. A known option with a bad length counts as not sent: all of them are
    /// elective (RFC 7252 §5.4.1 and §5.4.3, RFC 8323 §5.1).
    package init(_ message: Message) throws(UnknownCriticalSignallingOption) {
        let options = message.options
        // An Abort is the last word whatever it says: to abort in answer would help nobody.
        if message.code != .abort, let critical = options.first(where: { $0.number.isCritical }) {
            // Every signalling option there is so far is elective, so a critical one is an unknown one.
            throw UnknownCriticalSignallingOption(code: message.code, number: critical.number)
        }
        switch message.code {
        case .capabilitiesAndSettings:
            self = .csm(
                CSM(
                    maxMessageSize: options.uint(SignallingOption.maxMessageSize, length: 0...4),
                    blockWiseTransfer: options.flag(SignallingOption.blockWiseTransfer),
                    extendedTokenLength: options.uint(SignallingOption.extendedTokenLength, length: 0...3)
                ))
        case .ping:
            self = .ping(custody: options.flag(SignallingOption.custody))
        case .pong:
            self = .pong(custody: options.flag(SignallingOption.custody))
        case .release:
            self = .release(
                alternativeAddresses: options.all(SignallingOption.alternativeAddress)
                    .filter { (1...255).contains($0.value.readableBytes) }.compactMap(\.string),
                holdOffSeconds: options.uint(SignallingOption.holdOff, length: 0...3)
            )
        case .abort:
            self = .abort(
                badCSMOption: options.uint(SignallingOption.badCSMOption, length: 0...2)
                    .flatMap { UInt16(exactly: $0) },
                diagnostic: message.payload.map {
                    String(decoding: $0.readableBytesView.prefix(Self.diagnosticMaximumBytes), as: UTF8.self)
                }
            )
        default:
            self = .unknown(message.code)
        }
    }

    /// The message that says this. Every message we originate carries an eight-byte token: some TLS readers get stuck
    /// on messages of six bytes or less.
    package func message(token: Token) -> Message {
        var options = Options()
        var payload: ByteBuffer?
        let code: Code
        switch self {
        case .csm(let csm):
            code = .capabilitiesAndSettings
            if let size = csm.maxMessageSize { options.append(SignallingOption.maxMessageSize, uint: UInt64(size)) }
            if csm.blockWiseTransfer { options.append(SignallingOption.blockWiseTransfer) }
            if let length = csm.extendedTokenLength {
                options.append(SignallingOption.extendedTokenLength, uint: UInt64(length))
            }
        case .ping(let custody):
            code = .ping
            if custody { options.append(SignallingOption.custody) }
        case .pong(let custody):
            code = .pong
            if custody { options.append(SignallingOption.custody) }
        case .release(let alternativeAddresses, let holdOffSeconds):
            code = .release
            for address in alternativeAddresses {
                options.append(SignallingOption.alternativeAddress, string: address)
            }
            if let holdOffSeconds { options.append(SignallingOption.holdOff, uint: UInt64(holdOffSeconds)) }
        case .abort(let badCSMOption, let diagnostic):
            code = .abort
            if let badCSMOption { options.append(SignallingOption.badCSMOption, uint: UInt64(badCSMOption)) }
            payload = diagnostic.map { ByteBuffer(string: $0) }
        case .unknown(let unknown):
            code = unknown
        }
        return Message(code: code, token: token, options: options, payload: payload)
    }
}

extension Options {
    /// Whether the option is there, as empty as it has to be.
    fileprivate func flag(_ number: OptionNumber) -> Bool {
        self.first(number)?.value.readableBytes == 0
    }

    fileprivate func uint(_ number: OptionNumber, length: ClosedRange<Int>) -> UInt32? {
        guard let option = self.first(number), length.contains(option.value.readableBytes) else { return nil }
        return option.uint.flatMap { UInt32(exactly: $0) }
    }
}
