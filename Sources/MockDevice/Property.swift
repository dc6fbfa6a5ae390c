package import CBOR

/// One property of a resource: its value, what values it takes, and who may change it.
package struct Property: Sendable, Hashable {
    /// Who may change a property.
    package enum Access: Sendable, Hashable {
        /// Nobody.
        case fixed
        /// The device itself: what a sensor measures.
        case local
        /// The device and whoever posts.
        case remote
    }

    package enum Domain: Sendable, Hashable {
        case boolean
        case integer(ClosedRange<Int64>)
        case number(ClosedRange<Double>)
        /// Whatever it was made with.
        case constant
    }

    package let name: String
    package private(set) var value: DataItem
    package let domain: Domain
    package let access: Access

    package init(_ name: String, _ value: DataItem, _ domain: Domain = .constant, _ access: Access = .fixed) {
        self.name = name
        self.value = value
        self.domain = domain
        self.access = access
    }

    /// Takes a new value.
    mutating func set(_ item: DataItem) throws(PropertyError) {
        switch self.domain {
        case .boolean:
            guard item.flag != nil else { throw self.error("true or false", item) }
            self.value = item
        case .integer(let range):
            guard let number = Self.number(item), let integer = Int64(exactly: number), range.contains(integer) else {
                throw self.error("an integer from \(range.lowerBound) to \(range.upperBound)", item)
            }
            self.value = DataItem(integer: integer)
        case .number(let range):
            guard let number = Self.number(item), range.contains(number) else {
                throw self.error("a number from \(short(range.lowerBound)) to \(short(range.upperBound))", item)
            }
            self.value = Self.item(number)
        case .constant:
            throw PropertyError("\(self.name) cannot be changed")
        }
    }

    /// The number an item stands for, whichever way it is written: JSON does not tell 50 from 50.0.
    private static func number(_ item: DataItem) -> Double? {
        switch item {
        case .float(let value): value
        case .unsigned, .negative: item.integer.flatMap { Double(exactly: $0) }
        case .bytes, .text, .array, .map, .tagged, .boolean, .null, .undefined, .simple: nil
        }
    }

    /// Whole numbers are sent as integers.
    static func item(_ number: Double) -> DataItem {
        Int64(exactly: number).map(DataItem.init(integer:)) ?? .float(number)
    }

    private func error(_ wanted: String, _ item: DataItem) -> PropertyError {
        let given =
            switch item {
            case .unsigned, .negative: item.integer.map(String.init) ?? "a larger integer"
            case .float(let value): short(value)
            case .boolean(let value): value ? "true" : "false"
            case .bytes, .text, .array, .map, .tagged, .null, .undefined, .simple: item.kind
            }
        return PropertyError("\(self.name) must be \(wanted), not \(given)")
    }
}

/// A value a property does not take; the text goes back to whoever tried.
package struct PropertyError: Error, Sendable, Hashable, CustomStringConvertible {
    package let description: String

    init(_ description: String) {
        self.description = description
    }
}

/// `5`, not `5.0`.
private func short(_ number: Double) -> String {
    Int64(exactly: number).map(String.init) ?? "\(number)"
}
