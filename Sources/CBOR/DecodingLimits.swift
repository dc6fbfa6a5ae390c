/// What a decoder takes before it refuses. Every number is the peer's only up to here.
package struct DecodingLimits: Hashable, Sendable {
    /// Bytes of the whole encoded item.
    package var bytes: Int
    /// How many arrays, maps and tags may stand around one item, the item itself included.
    package var depth: Int
    /// Data items in all: elements, keys, values, tags, chunks of strings.
    package var items: Int

    package init(bytes: Int = 1 << 20, depth: Int = 32, items: Int = 65_536) {
        self.bytes = bytes
        self.depth = depth
        self.items = items
    }

    /// 1 MiB, 32 levels, 65,536 items.
    package static let standard = DecodingLimits()
}
