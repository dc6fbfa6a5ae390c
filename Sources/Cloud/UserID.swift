/// A user's id: opaque text such as an e-mail address or a number.
package struct UserID: NamedIdentifier {
    package let identifier: Identifier

    package init(identifier: Identifier) {
        self.identifier = identifier
    }
}
