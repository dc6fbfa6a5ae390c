/// One running process that holds sessions. The same machine or container started again is another pod, and so is
/// whoever gets its address next.
package struct Pod: Hashable, Sendable {
    /// `{pod name}.{random boot id}`.
    package let name: String
    /// Where other programs reach it, `host:port` of its pod port; empty where there are no others.
    package let address: String

    package init(name: String, address: String = "") {
        self.name = name
        self.address = address
    }
}

/// What is known of a pod's sign of life.
package enum PodLease: Hashable, Sendable {
    /// Renewed in time.
    case held
    /// Not renewed in time, since so long.
    case lapsed(for: Duration)
    /// Nothing is known of such a pod any more.
    case gone
}

/// What a pod learns when it renews its lease.
package struct LeaseRenewal: Hashable, Sendable {
    /// Counts the connections this process has made to the store: another number means that another server, or an
    /// older state of it, may be behind it.
    package let connection: UInt64
    /// The lease was not there, or had lapsed.
    package let hadLapsed: Bool
    /// Written once by whoever found none: another one means that the store was emptied.
    package let generation: String

    package init(connection: UInt64, hadLapsed: Bool, generation: String) {
        self.connection = connection
        self.hadLapsed = hadLapsed
        self.generation = generation
    }
}
