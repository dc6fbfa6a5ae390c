/// Something that is done to the cluster.
package enum RunPhase: String, Sendable, CaseIterable {
    /// Nothing: for comparison, and until sessions are old enough to be moved.
    case steady
    /// Twice as many pods.
    case double
    /// All pods are replaced at once, as a Deployment with `maxSurge: 100 %` does.
    case roll
    case rollNorthbound = "roll-northbound"
    case rollRegistry = "roll-registry"
    /// SIGKILL, and a new pod in its place.
    case kill
    /// A pod stands still for longer than its lease.
    case freeze
    /// The database answers nothing for a while.
    case mysqlStall = "mysql-stall"
    /// Redis forgets everything. After the stall: what is remembered of tokens helps over that.
    case redisEmpty = "redis-empty"
    /// A pod does not reach Redis, and everybody else.
    case cut
    /// Northbounds and other pods do not reach a pod, and it reaches everybody else.
    case cutPeers = "cut-peers"
    /// A pod's devices do not reach it, and it reaches everybody else.
    case cutDevices = "cut-devices"
    /// A pod's connections with devices pass no more, as if a NAT between had forgotten them, and neither end is told.
    case natForgets = "nat-forgets"
    /// A pod's network loses every tenth packet, then every fifth of one direction, then breaks connections.
    case weather
    /// SIGKILL to all pods at once, and as many new ones.
    case storm
    /// All connections with devices are reset at once; pods live.
    case disconnect
    /// Half as many pods.
    case halve
    /// Nothing: all is as it was.
    case calm
    /// As many pods as make eight.
    case toEight = "to-eight"
    /// All pods but two stop.
    case toTwo = "to-two"

    /// Nobody may notice.
    package var isPlanned: Bool {
        switch self {
        case .steady, .double, .roll, .rollNorthbound, .rollRegistry, .halve, .calm, .toEight, .toTwo: true
        case .kill, .storm, .disconnect, .redisEmpty, .mysqlStall: false
        case .freeze, .cut, .cutPeers, .cutDevices, .natForgets, .weather: false
        }
    }

    /// One pod comes to harm and lives: nobody but its devices may notice.
    package var isOfOnePod: Bool {
        switch self {
        case .freeze, .cut, .cutPeers, .cutDevices, .natForgets, .weather: true
        case .steady, .double, .roll, .rollNorthbound, .rollRegistry, .halve, .calm, .toEight, .toTwo: false
        case .kill, .storm, .disconnect, .redisEmpty, .mysqlStall: false
        }
    }

    /// What a run does unless it is told otherwise. A session that was moved is not moved for balance within the next
    /// ten minutes, so that pods are not doubled twice.
    package static let usual = allCases.filter { $0 != .toEight && $0 != .toTwo }
}
