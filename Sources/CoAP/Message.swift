package import NIOCore

/// One CoAP message over a reliable transport: no version, type or message id (RFC 8323 §3.2).
package struct Message: Hashable, Sendable {
    package var code: Code
    package var token: Token
    package var options: Options
    /// Nil without a payload; a payload marker with nothing behind it is a format error (RFC 7252 §3).
    package var payload: ByteBuffer?

    package init(code: Code, token: Token, options: Options = Options(), payload: ByteBuffer? = nil) {
        self.code = code
        self.token = token
        self.options = options
        self.payload = payload.flatMap { $0.readableBytes > 0 ? $0 : nil }
    }
}

/// A request without the token it travels under: what passes between the parts of a program.
package struct Request: Hashable, Sendable {
    /// 0.01…0.31; nothing checks it here, since unknown methods are answered, not refused (RFC 7252 §5.8).
    package var method: Code
    package var options: Options
    package var payload: ByteBuffer?

    package init(_ method: Code, options: Options = Options(), payload: ByteBuffer? = nil) {
        self.method = method
        self.options = options
        self.payload = payload.flatMap { $0.readableBytes > 0 ? $0 : nil }
    }

    /// A request for `path`, with one Uri-Query a query.
    package init(_ method: Code, path: [String], queries: [String] = [], payload: ByteBuffer? = nil) {
        var options = Options()
        options.path = path
        options.queries = queries
        self.init(method, options: options, payload: payload)
    }
}

/// A response without its token.
package struct Response: Hashable, Sendable {
    package var code: Code
    package var options: Options
    package var payload: ByteBuffer?

    package init(_ code: Code, options: Options = Options(), payload: ByteBuffer? = nil) {
        self.code = code
        self.options = options
        self.payload = payload.flatMap { $0.readableBytes > 0 ? $0 : nil }
    }

    /// A response whose payload is a diagnostic text for people: no Content-Format (RFC 7252 §5.5.2).
    package init(_ code: Code, diagnostic: String, maxAge: UInt32? = nil) {
        var options = Options()
        options.maxAge = maxAge
        self.init(code, options: options, payload: ByteBuffer(string: diagnostic))
    }

    /// The same in bytes of its own, for who keeps it: what was received keeps all that was read with it.
    package func compacted() -> Response {
        Response(
            self.code, options: self.options.compacted(),
            payload: self.payload.map { ByteBuffer(bytes: $0.readableBytesView) })
    }

    /// The diagnostic text, if this is an error that carries one.
    package var diagnostic: String? {
        guard !self.code.isSuccess, self.options.contentFormat == nil, let payload = self.payload else { return nil }
        return String(validating: payload.readableBytesView, as: UTF8.self)
    }
}
