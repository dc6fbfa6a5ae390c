/// What all connections of one kind go by. It is large and never changes, so they share it.
package final class SharedConfiguration: Sendable {
    package let value: ConnectionConfiguration
    package let blocks: BlockSettings

    package init(_ value: ConnectionConfiguration) {
        self.value = value
        self.blocks = BlockSettings(value)
    }
}
