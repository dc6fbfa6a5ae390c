import CBOR
import NIOCore
import NIOSSL
import OCF

/// The HTTP side of the cloud under test: `http://host:port` or `https://host:port`.
package struct HTTPDoor: Hashable, Sendable {
    /// The longest answer read.
    private static let maximumBytes = 4 << 20

    package let host: String
    package let port: Int
    package let isSecure: Bool

    package init(host: String, port: Int, isSecure: Bool = false) {
        self.host = host
        self.port = port
        self.isSecure = isSecure
    }

    /// Nil if the text is no such address.
    package init?(parsing text: String) {
        let isSecure: Bool
        if text.hasPrefix("https://") {
            isSecure = true
        } else if text.hasPrefix("http://") {
            isSecure = false
        } else {
            return nil
        }
        // What stands behind the scheme has the form of a CoAP address.
        let rest = text.dropFirst(isSecure ? 8 : 7)
        guard let address = try? ServerAddress(parsing: "coap+ws://\(rest)") else { return nil }
        let hasPort = rest.drop { $0 != "]" }.contains(":") || (!rest.contains("[") && rest.contains(":"))
        self.init(host: address.host, port: hasPort ? address.port : isSecure ? 443 : 80, isSecure: isSecure)
    }

    var authority: String { ServerAddress(host: self.host, port: self.port).authority }

    /// One request on a connection of its own.
    func request(
        _ method: String, _ path: String, token: String? = nil, headers: [(String, String)] = [], body: String? = nil,
        tls: NIOSSLContext?, clock: CaseClock, transcript: Transcript,
    ) async throws -> HTTPAnswer {
        let stream = try await self.open(tls: tls, clock: clock)
        let text = self.text(method, path, token: token, headers: headers, body: body)
        transcript.note("http", .sent, text.utf8, "\(method) \(path)")
        await stream.send(ByteBuffer(string: text))
        do {
            let answer = try await Self.answer(from: stream, to: method, path, clock: clock)
            await stream.close()
            transcript.note("http", .received, answer.raw.readableBytesView, "status \(answer.status)")
            return answer
        } catch let error as NoAnswer {
            await stream.close()
            throw error.failure
        } catch {
            await stream.close()
            throw error
        }
    }

    /// A connection on which nothing was said yet.
    func open(tls: NIOSSLContext?, clock: CaseClock) async throws -> ByteStream {
        try await ByteStream.connect(
            host: self.host, port: self.port, tls: self.isSecure ? tls : nil, within: try clock.wait())
    }

    enum Connection {
        case close
        case keepAlive
    }

    func text(
        _ method: String, _ path: String, token: String?, headers: [(String, String)], body: String?,
        connection: Connection = .close
    ) -> String {
        var lines = ["\(method) \(path) HTTP/1.1", "Host: \(self.authority)"]
        if connection == .close { lines.append("Connection: close") }
        if let token { lines.append("Authorization: Bearer \(token)") }
        for (name, value) in headers { lines.append("\(name): \(value)") }
        if let body { lines.append("Content-Length: \(body.utf8.count)") }
        return lines.joined(separator: "\r\n") + "\r\n\r\n" + (body ?? "")
    }

    /// The connection ended before the first byte of an answer.
    struct NoAnswer: Error {
        let failure: CaseFailure
    }

    /// - Throws: `NoAnswer`, or what was wrong with the answer that came.
    static func answer(
        from stream: ByteStream, to method: String, _ path: String, clock: CaseClock
    ) async throws -> HTTPAnswer {
        var raw = ByteBuffer()
        while true {
            if let answer = HTTPAnswer(raw, to: method, isWhole: false) { return answer }
            let expected = "an HTTP answer to \(method) \(path)"
            guard raw.readableBytes < Self.maximumBytes else {
                throw CaseFailure(expected: expected, got: "more than \(Self.maximumBytes) bytes")
            }
            do {
                guard var bytes = try await stream.next(within: try clock.wait()) else {
                    if let answer = HTTPAnswer(raw, to: method, isWhole: true) { return answer }
                    let failure = CaseFailure(expected: expected, got: "the end of the connection")
                    guard raw.readableBytes > 0 else { throw NoAnswer(failure: failure) }
                    throw failure
                }
                raw.writeBuffer(&bytes)
            } catch StreamError.timedOut {
                throw CaseFailure(expected: expected, got: "none within \(clock.patience.spoken)")
            } catch StreamError.failed(let text) {
                throw CaseFailure(expected: expected, got: "a broken connection: \(text)")
            }
        }
    }
}

/// An answer over HTTP/1.1 (RFC 9112 §4).
struct HTTPAnswer: Sendable {
    let status: Int
    let headers: [(name: String, value: String)]
    let body: ByteBuffer
    /// All of it, as it came.
    let raw: ByteBuffer

    /// Nil if it is not there yet.
    /// - Parameter isWhole: nothing will come any more.
    init?(_ raw: ByteBuffer, to method: String, isWhole: Bool) {
        let bytes = Array(raw.readableBytesView)
        guard let end = Self.position(of: [13, 10, 13, 10], in: bytes[...]) else { return nil }
        let lines = String(decoding: bytes[..<end], as: UTF8.self).split(separator: "\r\n")
        let words = lines.first?.split(separator: " ") ?? []
        guard words.count >= 2, let status = Int(words[1]) else { return nil }
        let headers = lines.dropFirst().compactMap { line -> (name: String, value: String)? in
            guard let colon = line.firstIndex(of: ":") else { return nil }
            return (line[..<colon].lowercased(), line[line.index(after: colon)...].trimmed)
        }
        let rest = bytes[(end + 4)...]
        let value = { (name: String) in headers.first { $0.name == name }?.value }
        if status == 100 {
            guard let next = HTTPAnswer(ByteBuffer(bytes: rest), to: method, isWhole: isWhole) else { return nil }
            self = next
            return
        }
        var body = rest
        if method == "HEAD" || status == 204 || status == 304 {
            // Nothing may come behind the head (RFC 9112 §6.3); whatever came is kept, so that it is seen.
        } else if value("transfer-encoding")?.lowercased() == "chunked" {
            guard let joined = Self.joined(rest) else { return nil }
            body = joined
        } else if let length = value("content-length").flatMap({ Int($0) }) {
            guard rest.count >= length || isWhole else { return nil }
            body = rest.prefix(length)
        } else if !isWhole {
            return nil
        }
        self.status = status
        self.headers = headers
        self.body = ByteBuffer(bytes: body)
        self.raw = raw
    }

    /// The chunks as one (RFC 9112 §7.1); nil if the last is not there.
    private static func joined(_ bytes: ArraySlice<UInt8>) -> ArraySlice<UInt8>? {
        var rest = bytes
        var result: ArraySlice<UInt8> = []
        while let end = Self.position(of: [13, 10], in: rest) {
            let digits = String(decoding: rest[rest.startIndex..<end].prefix { $0 != UInt8(ascii: ";") }, as: UTF8.self)
            guard let length = Int(digits.trimmed, radix: 16), length >= 0 else { return nil }
            if length == 0 { return result }
            guard rest.count >= end - rest.startIndex + length + 4 else { return nil }
            result += rest[(end + 2)..<(end + 2 + length)]
            rest = rest[(end + 4 + length)...]
        }
        return nil
    }

    private static func position(of pattern: [UInt8], in bytes: ArraySlice<UInt8>) -> Int? {
        guard bytes.count >= pattern.count else { return nil }
        return (bytes.startIndex...(bytes.endIndex - pattern.count)).first { start in
            bytes[start..<(start + pattern.count)].elementsEqual(pattern)
        }
    }

    /// The first header of this name.
    subscript(_ name: String) -> String? {
        self.headers.first { $0.name == name.lowercased() }?.value
    }

    /// Whether another request may follow: where this answer ends is known, and the cloud does not close behind it.
    var keepsConnection: Bool {
        let isDelimited = self["content-length"] != nil || self["transfer-encoding"] != nil
        return isDelimited && self["connection"]?.lowercased() != "close"
    }

    var text: String { sanitized(String(buffer: self.body), limit: 400) }

    /// The body, if it is JSON.
    var json: DataItem? { try? JSONCoding.decode(self.body) }
}
