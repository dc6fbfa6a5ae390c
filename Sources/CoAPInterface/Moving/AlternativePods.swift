import Cloud
import CoAPTransport

/// Which other pod a device had better connect to when it is asked to go (RFC 8323 §5.5, Alternative-Address), of those
/// that say where devices reach them alone. Without input or output.
///
/// Chance decides, by how much each pod has less than its share: all that move between two looks at the counts would
/// otherwise go to the one that has the fewest.
struct AlternativePods {
    private var pods: [(room: Double, endpoints: PublicEndpoints)] = []
    /// A pod that says nothing may be the one that has room.
    private var areAllKnown = true

    init() {}

    /// - Parameters:
    ///   - leased: all there are.
    ///   - own: the name of this pod.
    init(_ leased: [LeasedPod], own: String) {
        let staying = leased.filter { !$0.isDraining }
        let mean = Double(staying.map(\.sessions).reduce(0, +)) / Double(max(1, staying.count))
        for pod in staying where pod.pod.name != own {
            guard !pod.endpoints.isEmpty, let endpoints = PublicEndpoints(pod.endpoints) else {
                self.areAllKnown = false
                continue
            }
            self.pods.append((max(0, mean - Double(pod.sessions)), endpoints))
        }
    }

    /// The address of one for who came by this scheme, as the option has it: `HOST:PORT`. Nil if none has any.
    func address(for scheme: URIScheme, random: inout some RandomNumberGenerator) -> String? {
        let able = self.pods.compactMap { pod in pod.endpoints.exact(scheme).map { (room: pod.room, address: $0) } }
        let room = able.map(\.room).reduce(0, +)
        guard room > 0 else {
            guard self.areAllKnown, able.count == self.pods.count else { return nil }
            return able.randomElement(using: &random)?.address
        }
        var rest = Double.random(in: 0..<room, using: &random)
        for pod in able {
            rest -= pod.room
            if rest < 0 { return pod.address }
        }
        return able.last?.address
    }
}
