package import CBOR
package import Cloud

/// `GET registry/mediators?uid=…` → 2.05, an array of these; `DELETE registry/mediators/{id}?uid=…` → 2.02.
extension Mediator {
    package init(_ item: DataItem) throws(PayloadError) {
        let fields = try Fields(item)
        self.init(
            id: try fields.text("id"),
            createdAt: Timestamp(milliseconds: try fields.integer("created")),
            lastUsed: try fields.optionalInteger("used").map(Timestamp.init(milliseconds:)))
    }

    package var item: DataItem {
        var pairs: [DataItem.Pair] = [
            .init("id", .text(self.id)), .init("created", DataItem(integer: self.createdAt.milliseconds)),
        ]
        if let lastUsed { pairs.append(.init("used", DataItem(integer: lastUsed.milliseconds))) }
        return .map(pairs)
    }
}
