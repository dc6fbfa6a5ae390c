/// A device's or client's id (`di`): often a UUID, but any text that keeps the id rule.
package struct DeviceID: NamedIdentifier {
    package let identifier: Identifier

    package init(identifier: Identifier) {
        self.identifier = identifier
    }
}
