import NIOCore

/// What tells the body of one operation from that of another on the same connection.
///
/// All options that belong to a cache's key, as RFC 9175 §3.1 has it, without those that may differ between blocks.
/// Unspecified: Content-Format and ETag are not in it, since clients leave them out where they ask for the rest of an
/// answer.
struct BlockKey: Hashable {
    let method: Code
    private let options: Options
    /// Request-Tag, which may be there more than once (RFC 9175 §3.2).
    private let tags: Options

    init(_ request: Request) {
        self.method = request.method
        var options = Options()
        var tags = Options()
        // Copies: a slice would keep all the bytes it arrived with.
        for option in request.options where !Self.varies(option.number) {
            let value = ByteBuffer(bytes: option.value.readableBytesView)
            if option.number == .requestTag {
                tags.append(option.number, value)
            } else {
                options.append(option.number, value)
            }
        }
        self.options = options
        self.tags = tags
    }

    private static func varies(_ number: OptionNumber) -> Bool {
        switch number {
        case .block1, .block2, .observe, .eTag, .contentFormat, .deadline, .bodyTag: true
        default: number.isNoCacheKey
        }
    }

    var isTagged: Bool { !self.tags.isEmpty }

    /// Whether they differ in nothing but Request-Tag.
    func isLike(_ other: BlockKey) -> Bool {
        self.method == other.method && self.options == other.options
    }
}
