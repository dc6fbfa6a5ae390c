import Cloud
package import CoAP

/// The queries of a request as names and values.
///
/// One Uri-Query is one `name=value` (RFC 7252 §6.4). Some older stacks put `a=1&b=2` or `a=1;b=2` into one option; so
/// a separator counts where a name and an equals sign follow it, and is part of the value elsewhere: ids may contain
/// both.
package struct Query: Hashable, Sendable {
    package struct Pair: Hashable, Sendable {
        package let name: String
        package let value: String
    }

    package let pairs: [Pair]

    /// The most pairs one request may have.
    package static let maximumPairs = 1024

    /// - Throws: 4.00 for text that is not UTF-8, 4.13 for too many pairs.
    package init(_ options: Options) throws(PayloadError) {
        guard let texts = options.queries else {
            throw PayloadError(.badRequest, "a Uri-Query is not UTF-8 (RFC 7252 §5.10.1)")
        }
        var pairs: [Pair] = []
        for text in texts {
            for piece in Self.pieces(of: text) where !piece.isEmpty {
                guard pairs.count < Self.maximumPairs else {
                    throw PayloadError(
                        .requestEntityTooLarge, "more than \(Self.maximumPairs) queries: ask in several requests")
                }
                let parts = piece.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
                pairs.append(Pair(name: String(parts[0]), value: parts.count > 1 ? String(parts[1]) : ""))
            }
        }
        self.pairs = pairs
    }

    package func all(_ name: String) -> [String] {
        self.pairs.filter { $0.name == name }.map(\.value)
    }

    package func first(_ name: String) -> String? {
        self.pairs.first { $0.name == name }?.value
    }

    private static func pieces(of text: String) -> [Substring] {
        var pieces: [Substring] = []
        var start = text.startIndex
        for index in text.indices where text[index] == "&" || text[index] == ";" {
            let rest = text[text.index(after: index)...]
            let name = rest.prefix { $0.isASCII && ($0.isLetter || $0.isNumber || $0 == "-" || $0 == "_" || $0 == ".") }
            guard !name.isEmpty, rest.dropFirst(name.count).first == "=" else { continue }
            pieces.append(text[start..<index])
            start = rest.startIndex
        }
        pieces.append(text[start...])
        return pieces
    }
}

extension Query {
    /// The only value of a name, nil when absent.
    ///
    /// - Throws: 4.00 when it is there twice or empty.
    func single(_ name: String) throws(PayloadError) -> String? {
        let values = self.all(name)
        guard values.count <= 1 else {
            throw PayloadError(.badRequest, "\(name) is given \(values.count) times: give it once", field: name)
        }
        guard let value = values.first else { return nil }
        guard !value.isEmpty else { throw PayloadError(.badRequest, "\(name) is empty", field: name) }
        return value
    }

    func device(_ name: String) throws(PayloadError) -> DeviceID? {
        guard let text = try self.single(name) else { return nil }
        do throws(IdentifierError) {
            return try DeviceID(text)
        } catch {
            throw PayloadError(.badRequest, "\(name) \(error)", field: name)
        }
    }

    func user(_ name: String) throws(PayloadError) -> UserID? {
        guard let text = try self.single(name) else { return nil }
        do throws(IdentifierError) {
            return try UserID(text)
        } catch {
            throw PayloadError(.badRequest, "\(name) \(error)", field: name)
        }
    }
}

extension Request {
    /// Whether it asks for the states of many resources at once; what is told of them later may have some of them only
    /// (OCF Core §7.6.3.3).
    package var isBatch: Bool { self.options.queries?.contains("if=oic.if.b") == true }
}
