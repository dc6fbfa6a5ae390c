extension DataItem: Hashable {
    package static func == (left: DataItem, right: DataItem) -> Bool {
        switch (left, right) {
        case (.unsigned(let left), .unsigned(let right)): left == right
        case (.negative(let left), .negative(let right)): left == right
        case (.bytes(let left), .bytes(let right)): left == right
        // String's own equality takes different code points for the same if they look alike.
        case (.text(let left), .text(let right)): left.utf8.elementsEqual(right.utf8)
        case (.array(let left), .array(let right)): left == right
        case (.map(let left), .map(let right)): left == right
        case (.tagged(let leftTag, let left), .tagged(let rightTag, let right)): leftTag == rightTag && left == right
        case (.boolean(let left), .boolean(let right)): left == right
        case (.null, .null), (.undefined, .undefined): true
        case (.simple(let left), .simple(let right)): left == right
        case (.float(let left), .float(let right)): Self.bits(left) == Self.bits(right)
        case (.unsigned, _), (.negative, _), (.bytes, _), (.text, _), (.array, _), (.map, _), (.tagged, _),
            (.boolean, _), (.null, _), (.undefined, _), (.simple, _), (.float, _):
            false
        }
    }

    package func hash(into hasher: inout Hasher) {
        switch self {
        case .unsigned(let value):
            hasher.combine(0)
            hasher.combine(value)
        case .negative(let value):
            hasher.combine(1)
            hasher.combine(value)
        case .bytes(let value):
            hasher.combine(2)
            hasher.combine(value)
        case .text(let value):
            hasher.combine(3)
            for byte in value.utf8 {
                hasher.combine(byte)
            }
        case .array(let value):
            hasher.combine(4)
            hasher.combine(value)
        case .map(let value):
            hasher.combine(5)
            hasher.combine(value)
        case .tagged(let tag, let value):
            hasher.combine(6)
            hasher.combine(tag)
            hasher.combine(value)
        case .boolean(let value):
            hasher.combine(7)
            hasher.combine(value)
        case .null:
            hasher.combine(8)
        case .undefined:
            hasher.combine(9)
        case .simple(let value):
            hasher.combine(10)
            hasher.combine(value)
        case .float(let value):
            hasher.combine(11)
            hasher.combine(Self.bits(value))
        }
    }

    /// Tells 0 from -0 and takes every NaN for the same.
    private static func bits(_ value: Double) -> UInt64 {
        value.isNaN ? Double.nan.bitPattern : value.bitPattern
    }
}
