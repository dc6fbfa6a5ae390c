/// Why a run cannot begin, and what to do.
package struct FleetError: Error, Sendable, Hashable, CustomStringConvertible {
    package let description: String

    package init(_ description: String) {
        self.description = description
    }
}
