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

/// What a pod tells of itself with each renewal of its lease.
package struct PodLoad: Hashable, Sendable {
    /// How many sessions it has.
    package let sessions: Int
    /// It is on its way out: it still serves, and asks its devices to go elsewhere.
    package let isDraining: Bool
    /// For how long it has been running.
    package let age: Duration
    /// Where devices reach this pod alone, `SCHEME://HOST:PORT`.
    package let endpoints: [String]

    package init(sessions: Int, isDraining: Bool = false, age: Duration = .zero, endpoints: [String] = []) {
        self.sessions = sessions
        self.isDraining = isDraining
        self.age = age
        self.endpoints = endpoints
    }
}

/// A pod whose lease is held, as the store knows it.
package struct LeasedPod: Hashable, Sendable {
    package let pod: Pod
    package let sessions: Int
    package let isDraining: Bool
    /// For how long the pod has been running.
    package let age: Duration
    /// How old the count of its sessions is: it comes with each renewal.
    package let countAge: Duration
    /// Where devices reach this pod alone, `SCHEME://HOST:PORT`.
    package let endpoints: [String]

    package init(
        pod: Pod, sessions: Int, isDraining: Bool, age: Duration, countAge: Duration, endpoints: [String] = []
    ) {
        self.pod = pod
        self.sessions = sessions
        self.isDraining = isDraining
        self.age = age
        self.countAge = countAge
        self.endpoints = endpoints
    }
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
