/// What `/cluster` shows: how the sessions are spread, and what this pod does about it.
package struct ClusterStatus: Sendable, Equatable, Encodable {
    package struct Pod: Sendable, Equatable, Encodable {
        package var pod: String
        package var sessions: Int
        package var isDraining: Bool
        /// Since its start, in whole seconds.
        package var ageSeconds: Int
        /// Since it counted its sessions, in whole seconds.
        package var countAgeSeconds: Int

        package init(pod: String, sessions: Int, isDraining: Bool, ageSeconds: Int, countAgeSeconds: Int) {
            self.pod = pod
            self.sessions = sessions
            self.isDraining = isDraining
            self.ageSeconds = ageSeconds
            self.countAgeSeconds = countAgeSeconds
        }
    }

    package struct Balance: Sendable, Equatable, Encodable {
        /// Whether the rule says that sessions should move.
        package var isOn: Bool
        package var mean: Double
        /// The greatest distance of a pod from the mean.
        package var deviation: Double
        /// How many devices this pod asks to go elsewhere, a second.
        package var releasesPerSecond: Double
        /// Why none is asked though some might be; nil if nothing hinders.
        package var hindrance: String?
        /// How many were asked since the start.
        package var released: Int

        package init(
            isOn: Bool, mean: Double, deviation: Double, releasesPerSecond: Double, hindrance: String?, released: Int
        ) {
            self.isOn = isOn
            self.mean = mean
            self.deviation = deviation
            self.releasesPerSecond = releasesPerSecond
            self.hindrance = hindrance
            self.released = released
        }
    }

    /// The pod that answers.
    package var pod: String
    package var pods: [Pod]
    /// Nil if sessions are not moved for balance.
    package var balance: Balance?

    package init(pod: String, pods: [Pod], balance: Balance?) {
        self.pod = pod
        self.pods = pods
        self.balance = balance
    }
}
