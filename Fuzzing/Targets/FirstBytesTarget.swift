import NIOCore

@testable import CoAPTransport

/// What stands in front of CoAP before anybody has proved anything: a PROXY header if the first byte of the input is
/// even, else a TLS ClientHello.
enum FirstBytesTarget {
    static func check(_ input: ByteBuffer) {
        var reader = InputReader(input)
        if reader.flag() { self.checkClientHello(reader.rest) } else { self.checkProxyHeader(reader.rest) }
    }

    // MARK: PROXY

    private enum Outcome: Equatable {
        case waits
        case header(ProxyHeader, length: Int)
        case refused(ProxyHeaderError)
    }

    private static func checkProxyHeader(_ bytes: ByteBuffer) {
        _ = FirstBytes(bytes.readableBytesView).name
        let whole = self.proxyHeader(bytes)
        switch whole {
        case .waits:
            require(
                bytes.readableBytes < 16 + ProxyHeader.maximumExtension, "waits for more than a header may have")
        case .header(let header, let length):
            require((header.source == nil) == (header.destination == nil), "only one of two addresses is known")
            require(length <= 16 + ProxyHeader.maximumExtension, "a header of \(length) bytes was taken")
            require(length == self.length(of: bytes), "a header of another length than it has was taken")
        case .refused:
            break
        }
        for count in self.prefixes(of: bytes) {
            let cut = self.proxyHeader(bytes.getSlice(at: bytes.readerIndex, length: count) ?? ByteBuffer())
            require(cut == .waits || cut == whole, "a part of a header is taken for something else than the whole")
            if case .header(_, let length) = whole, count < length {
                require(cut == .waits, "a header is whole before its end")
            }
        }
    }

    /// How long a header is: version 1 goes to its line feed, version 2 says so in its last two fixed bytes (§2).
    private static func length(of bytes: ByteBuffer) -> Int? {
        if bytes.readableBytesView.first == UInt8(ascii: "P") {
            return bytes.readableBytesView.firstIndex(of: UInt8(ascii: "\n")).map { $0 - bytes.readerIndex + 1 }
        }
        return bytes.getInteger(at: bytes.readerIndex + 14, as: UInt16.self).map { 16 + Int($0) }
    }

    private static func proxyHeader(_ bytes: ByteBuffer) -> Outcome {
        var rest = bytes
        do throws(ProxyHeaderError) {
            guard let header = try ProxyHeader(readingFrom: &rest) else {
                require(rest == bytes, "bytes are gone although there was no whole header")
                return .waits
            }
            return .header(header, length: bytes.readableBytes - rest.readableBytes)
        } catch {
            return .refused(error)
        }
    }

    // MARK: TLS

    private static func checkClientHello(_ bytes: ByteBuffer) {
        var all = ClientHelloReader()
        let whole = all.read(bytes)
        require(
            whole != .wait || bytes.readableBytes <= ClientHelloReader.limit, "waits for more than a ClientHello has")
        // In one reader, as it comes from a socket.
        var reader = ClientHelloReader()
        for count in self.prefixes(of: bytes) {
            let verdict = reader.read(bytes.getSlice(at: bytes.readerIndex, length: count) ?? ByteBuffer())
            if verdict == .wait { continue }
            require(verdict == whole, "a part of a ClientHello is taken for something else than the whole")
            return
        }
        require(whole == .wait, "a ClientHello in pieces is never whole")
    }

    /// Lengths to cut at, ascending to all of it: each one, or some if there are many.
    private static func prefixes(of bytes: ByteBuffer) -> [Int] {
        Array(stride(from: 0, to: bytes.readableBytes, by: max(1, bytes.readableBytes / 32))) + [bytes.readableBytes]
    }
}
