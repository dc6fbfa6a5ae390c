import NIOCore

/// What is wrong with the options of a message, if anything (RFC 7252 §5.4.1).
package enum OptionFault: Error, Hashable, Sendable {
    /// Critical and not understood, badly long, or a second time where one is allowed.
    case critical(OptionNumber)
    /// An option that only our own programs may use among themselves.
    case `internal`(OptionNumber)
    /// The answer comes in blocks that are not all to be had, or not of one body (RFC 7959 §2.4); the text says why.
    case brokenBody(String)
}

extension OptionFault: CustomStringConvertible {
    package var description: String {
        switch self {
        case .critical(let number): "option \(number) is critical and not understood here"
        case .internal(let number): "option \(number) is reserved"
        case .brokenBody(let why): why
        }
    }
}

extension Options {
    /// Options a registry knows but we do not act on. Their critical ones are refused like unknown ones.
    private static let notUnderstood: Set<OptionNumber> = [
        .oscore, .edhoc, .qBlock1, .qBlock2,
    ]

    /// Takes out elective options that are badly long or repeated against the rules, which then count as not sent
    /// (RFC 7252 §5.4.3, §5.4.5); refuses critical ones that are, or are unknown. Unknown elective ones stay, for
    /// whoever forwards the message.
    mutating func screen(allowingInternal: Bool) throws(OptionFault) {
        var dropped: [Int] = []
        var previous: OptionNumber?
        for (index, option) in self.enumerated() {
            let number = option.number
            defer { previous = number }
            if number.isInternal {
                guard allowingInternal else { throw .internal(number) }
                continue
            }
            guard let definition = OptionDefinition.of(number) else {
                if number.isCritical { throw .critical(number) }
                continue
            }
            let isWellFormed =
                definition.length.contains(option.value.readableBytes)
                && (definition.isRepeatable || previous != number)
            if isWellFormed && !(number.isCritical && Self.notUnderstood.contains(number)) { continue }
            if number.isCritical { throw .critical(number) }
            dropped.append(index)
        }
        self.remove(at: dropped)
    }

    private mutating func remove(at positions: [Int]) {
        guard !positions.isEmpty else { return }
        let kept = self.enumerated().filter { !positions.contains($0.offset) }.map(\.element)
        self = Options(ordered: kept)
    }
}

/// What becomes of a request before anybody looks at its resource.
enum RequestVerdict: Hashable {
    case accept(Request)
    case answer(Response)
}

extension Request {
    /// Checks what every resource would have to check.
    func screened(allowingInternal: Bool) -> RequestVerdict {
        var request = self
        do throws(OptionFault) {
            try request.options.screen(allowingInternal: allowingInternal)
        } catch {
            return .answer(Response(.badOption, diagnostic: error.description))
        }
        if request.options.contains(.proxyUri) || request.options.contains(.proxyScheme) {
            // RFC 7252 §5.10.2.
            return .answer(Response(.proxyingNotSupported, diagnostic: "this gateway is not a forward proxy"))
        }
        guard let path = request.options.path else {
            return .answer(Response(.badRequest, diagnostic: "Uri-Path is not UTF-8 (RFC 7252 §3.2)"))
        }
        guard !path.contains("."), !path.contains("..") else {
            // RFC 7252 §5.10.1: these values must not be used.
            return .answer(Response(.badRequest, diagnostic: "Uri-Path must not be \".\" or \"..\" (RFC 7252 §5.10.1)"))
        }
        guard request.options.queries != nil else {
            return .answer(Response(.badRequest, diagnostic: "Uri-Query is not UTF-8 (RFC 7252 §3.2)"))
        }
        return .accept(request)
    }
}

/// Which answers a request does not want (RFC 7967 §2.1).
struct NoResponse: Hashable {
    private let bits: UInt64

    init(_ options: Options) {
        // A longer value counts as not sent (RFC 7252 §5.4.3).
        let value = options.first(.noResponse).flatMap { $0.value.readableBytes <= 1 ? $0.uint : nil }
        self.bits = value ?? 0
    }

    func suppresses(_ code: Code) -> Bool {
        // Bit n-1 stands for class n.
        (self.bits << 1) >> UInt64(code.codeClass) & 1 == 1
    }
}
