import NIOCore

@testable import CoAP

/// What stands behind a message's token: options and payload (RFC 7252 §3.1), and what is made of them. The first byte
/// of the input is the code.
enum OptionsTarget {
    static func check(_ input: ByteBuffer) {
        var reader = InputReader(input)
        let code = Code(rawValue: reader.byte())
        let token = Token([1, 2, 3, 4])
        guard
            let message = try? Message(code: code, token: token, body: reader.rest, limits: MessageLimits())
        else { return }

        var written = ByteBuffer()
        message.writeBody(into: &written)
        require(written == reader.rest, "options are written in other bytes than they came in")
        require(message.bodyLength == written.readableBytes, "a body is longer or shorter than was said")

        let options = message.options
        require(options.compacted() == options, "options change when they are copied")
        require(options.longestValue <= Option.maximumLength, "a value is longer than can be written")
        var again = Options()
        // Put in backwards in groups: what has one number keeps its order.
        for number in Set(options.map(\.number)) {
            for option in options.all(number) { again.append(number, option.value) }
        }
        require(again == options, "options depend on the order in which numbers are added")

        self.checkTypedAccess(options)
        self.checkScreening(Request(code, options: options, payload: message.payload))
        if code.kind == .signalling { self.checkSignal(message) }
    }

    private static func checkTypedAccess(_ options: Options) {
        for option in options {
            _ = option.string
            guard let value = option.uint else { continue }
            var set = options
            set.set(option.number, uint: value)
            require(set.first(option.number)?.uint == value, "a number is another one when it is set again")
            require(set.all(option.number).count == 1, "an option that was set is there twice")
            let bytes = set.first(option.number)?.bytes ?? []
            require(
                bytes.first != 0 && bytes.count <= option.bytes.count, "a number is not written in its shortest form")
        }
        var copy = options
        copy.observe = options.observe
        copy.contentFormat = options.contentFormat
        copy.accept = options.accept
        copy.maxAge = options.maxAge
        copy.hopLimit = options.hopLimit
        copy.ocfVersion = options.ocfVersion
        copy.ocfAcceptVersion = options.ocfAcceptVersion
        copy.block1 = options.block1
        copy.block2 = options.block2
        if let path = options.path { copy.path = path }
        if let queries = options.queries { copy.queries = queries }
        require(
            copy.observe == options.observe && copy.contentFormat == options.contentFormat
                && copy.accept == options.accept && copy.maxAge == options.maxAge && copy.hopLimit == options.hopLimit
                && copy.ocfVersion == options.ocfVersion && copy.ocfAcceptVersion == options.ocfAcceptVersion
                && copy.path == options.path && copy.queries == options.queries,
            "a typed option says something else when it is set to what it said")
        for block in [options.block1, options.block2].compactMap({ $0 }) {
            require(block.offset >= 0 && block.offset < 1 << 30, "a block begins at \(block.offset)")
            require(
                BlockOption(offset: block.offset, more: block.more, sizeExponent: block.sizeExponent) == block,
                "a block is not the one that begins where it does")
        }
        copy.removeInternal()
        require(!copy.contains { $0.number.isInternal }, "an internal option is left")
    }

    private static func checkScreening(_ request: Request) {
        guard case .accept(let accepted) = request.screened(allowingInternal: false) else { return }
        require(accepted.screened(allowingInternal: false) == .accept(accepted), "what was accepted is not, once more")
        require(!accepted.options.contains { $0.number.isInternal }, "an internal option came in from outside")
        require(accepted.options.path?.contains { $0 == "." || $0 == ".." } == false, "a dot segment came in")
        require(accepted.options.queries != nil, "a query that is not UTF-8 came in")
    }

    private static func checkSignal(_ message: Message) {
        guard let signal = try? Signal(message) else { return }
        let written = signal.message(token: message.token)
        guard let again = try? Signal(written) else { fatalError("a signal that was read cannot be read again") }
        // A diagnostic that is no UTF-8 is longer once it is put right, and cut a second time.
        if case .abort(_, let text?) = signal, text.unicodeScalars.contains("\u{FFFD}") { return }
        require(again == signal, "a signal says something else when it is written and read")
    }
}
