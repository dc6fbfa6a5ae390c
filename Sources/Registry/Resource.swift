import Cloud
import CoAP
import OCF

/// One request on its way through a handler.
struct Exchange: Sendable {
    let request: Request
    let negotiation: Negotiation
    /// The last segment, where the pattern has a variable there.
    let variable: String
    /// Whose connection the request came in on, or on whose behalf one of our programs asks.
    let user: UserID?
    /// The device or client that is signed in on that connection.
    let device: DeviceID?

    /// The signed-in device with its owner.
    var session: (uid: UserID, di: DeviceID)? {
        guard let user, let device else { return nil }
        return (user, device)
    }
}

/// What a handler made of a request: the response, and whom it was about, for the log.
struct Reply: Sendable {
    var response: Response
    var uid: UserID?
    var di: DeviceID?
    /// What comes again every second and says nothing: it has no access line.
    var isRoutine: Bool

    init(_ response: Response, uid: UserID? = nil, di: DeviceID? = nil, isRoutine: Bool = false) {
        self.response = response
        self.uid = uid
        self.di = di
        self.isRoutine = isRoutine
    }
}

/// A resource: its path, who may ask, and what it does for which method.
struct Resource: Sendable {
    enum Access: Sendable, Hashable {
        /// Also before sign-in.
        case anyone
        /// Requests of a user: over a session, or made by one of our programs on his behalf.
        case user
        /// Requests of a signed-in device or client.
        case session
        /// Our own programs, asking for themselves.
        case program
    }

    /// Which queue its requests wait in: lists, however many, must not delay a sign-in.
    enum Lane: String, Sendable, Hashable, CaseIterable {
        case identity
        case directory
    }

    typealias Handler = @Sendable (Exchange) async throws -> Reply
    /// Replies exactly once, later, unless it throws.
    typealias Holder = @Sendable (Exchange, @escaping @Sendable (Reply) -> Void) throws -> Void

    /// `registry/devices/{di}`; one variable at most, and at the end. Also the label in logs and metrics.
    let pattern: String
    let access: Access
    /// Nil: its requests are held, and wait in no queue.
    let lane: Lane?
    let methods: [Code: Handler]
    let holding: [Code: Holder]
    private let segments: [String]
    private let hasVariable: Bool

    init(
        _ path: [String], variable: String? = nil, _ access: Access, _ lane: Lane, _ methods: [Code: Handler]
    ) {
        self.init(path, variable, access, lane, methods, [:])
    }

    /// A resource whose requests take no worker while they wait.
    init(_ path: [String], _ access: Access, holding: [Code: Holder]) {
        self.init(path, nil, access, nil, [:], holding)
    }

    private init(
        _ path: [String], _ variable: String?, _ access: Access, _ lane: Lane?, _ methods: [Code: Handler],
        _ holding: [Code: Holder]
    ) {
        self.pattern = (path + (variable.map { ["{\($0)}"] } ?? [])).joined(separator: "/")
        self.access = access
        self.lane = lane
        self.methods = methods
        self.holding = holding
        self.segments = path
        self.hasVariable = variable != nil
    }

    func takes(_ method: Code) -> Bool { self.methods[method] != nil || self.holding[method] != nil }

    /// The methods it takes, for people.
    var taken: String {
        (Array(self.methods.keys) + Array(self.holding.keys)).compactMap(\.name).sorted().joined(separator: ", ")
    }

    /// The variable's value, empty without one; nil if the path is another.
    func match(_ path: [String]) -> String? {
        guard path.count == self.segments.count + (self.hasVariable ? 1 : 0), path.starts(with: self.segments) else {
            return nil
        }
        return self.hasVariable ? path[path.count - 1] : ""
    }
}
