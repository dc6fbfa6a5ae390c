/// What a resource of a device last said, kept for when the device cannot be asked.
package struct StoredState: Hashable, Sendable {
    /// Whose device it was when it said so: nobody else may read it, however the device's id is registered later.
    package var uid: UserID
    package var payload: [UInt8]
    /// The number of the payload's format (RFC 7252 §12.3), nil if the device gave none.
    package var contentFormat: UInt16?
    /// How long ago it said so, when the store is given it or gives it back: no two clocks have to agree.
    package var age: Duration
    package var order: StateOrder

    package init(uid: UserID, payload: [UInt8], contentFormat: UInt16?, age: Duration, order: StateOrder) {
        self.uid = uid
        self.payload = payload
        self.contentFormat = contentFormat
        self.age = age
        self.order = order
    }
}

/// Which of two states of a resource is the newer one, whatever the clocks of two pods say: that of the newer session,
/// and within a session that which was heard later.
package struct StateOrder: Hashable, Sendable, Comparable {
    package var epoch: UInt64
    /// Counts what the process heard in which the session is.
    package var number: UInt64

    package init(epoch: UInt64, number: UInt64) {
        self.epoch = epoch
        self.number = number
    }

    package static func < (one: StateOrder, other: StateOrder) -> Bool {
        (one.epoch, one.number) < (other.epoch, other.number)
    }
}

/// A resource as it is asked: with its queries, since another interface is another representation.
package struct StoredResource: Hashable, Sendable {
    package let di: DeviceID
    /// Path and queries in one text, which no two of them share.
    package let key: String

    package init(di: DeviceID, path: [String], queries: [String]) {
        self.di = di
        let segments = path.map { Self.escaped($0) }.joined(separator: "/")
        let rest = queries.map { Self.escaped($0) }.joined(separator: "&")
        self.key = rest.isEmpty ? "/\(segments)" : "/\(segments)?\(rest)"
    }

    private static func escaped(_ text: String) -> String {
        var result = ""
        for scalar in text.unicodeScalars {
            switch scalar {
            case "%": result += "%25"
            case "/": result += "%2F"
            case "?": result += "%3F"
            case "&": result += "%26"
            default: result.unicodeScalars.append(scalar)
            }
        }
        return result
    }
}

/// What is kept of which resources.
package enum StoredStateMode: String, Hashable, Sendable, CaseIterable {
    /// Every link of a device that is discoverable and observable is observed, up to
    /// `StoredStateLimits.observedPerDevice`.
    case observe
    /// What clients observe.
    case passive
    case off
}

/// The bounds of every store of states.
package enum StoredStateLimits {
    /// Observations of ours on one device.
    package static let observedPerDevice = 32
    /// Resources of one device; for one more the one that said nothing for longest is forgotten.
    package static let perDevice = 64
    /// The bytes of one state and of its resource's key; larger ones are not kept.
    package static let payloadBytes = 16 * 1024
    package static let keyBytes = 1024
    /// None older than that.
    package static let age: Duration = .seconds(7 * 24 * 3600)

    package static func takes(_ state: StoredState, of resource: StoredResource) -> Bool {
        state.payload.count <= Self.payloadBytes && resource.key.utf8.count <= Self.keyBytes
    }
}

/// The last states of devices' resources, bounded in number, size and age.
package protocol StateStore: Sendable {
    /// Keeps it in the place of an older one, unless it exceeds the bounds.
    /// - Parameter done: called once, on any thread, with whether the store could be reached.
    func keep(_ state: StoredState, of resource: StoredResource, done: @escaping @Sendable (Bool) -> Void)
    /// Nil if there is none.
    func state(of resource: StoredResource) async throws(RouteStoreUnavailable) -> StoredState?
    /// The device is registered no more.
    func forget(_ di: DeviceID)
}
