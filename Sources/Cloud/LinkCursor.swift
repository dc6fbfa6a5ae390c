/// A place in a list of links by di and number: behind this link.
package struct LinkCursor: Hashable, Sendable {
    package let di: DeviceID
    package let ins: Int

    package init(di: DeviceID, ins: Int) {
        self.di = di
        self.ins = ins
    }

    /// `ins/di`.
    package init?(_ text: String) {
        // An id has no slash.
        let parts = text.split(separator: "/", omittingEmptySubsequences: false)
        guard parts.count == 2, let ins = Int(parts[0]), !parts[1].isEmpty else { return nil }
        self.init(di: DeviceID(stored: String(parts[1])), ins: ins)
    }

    package var text: String { "\(self.ins)/\(self.di.text)" }
}
