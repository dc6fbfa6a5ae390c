extension DataItem: ExpressibleByStringLiteral {
    package init(stringLiteral value: String) {
        self = .text(value)
    }
}

extension DataItem: ExpressibleByIntegerLiteral {
    package init(integerLiteral value: Int64) {
        self.init(integer: value)
    }
}

extension DataItem: ExpressibleByFloatLiteral {
    package init(floatLiteral value: Double) {
        self = .float(value)
    }
}

extension DataItem: ExpressibleByBooleanLiteral {
    package init(booleanLiteral value: Bool) {
        self = .boolean(value)
    }
}

extension DataItem: ExpressibleByArrayLiteral {
    package init(arrayLiteral elements: DataItem...) {
        self = .array(elements)
    }
}

extension DataItem: ExpressibleByDictionaryLiteral {
    package init(dictionaryLiteral elements: (DataItem, DataItem)...) {
        self = .map(elements.map { Pair($0.0, $0.1) })
    }
}
