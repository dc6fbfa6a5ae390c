import CoAP

/// What a request on a device's connection is for, told from its path alone.
enum Resource: Hashable {
    case account
    case session
    case tokenRefresh
    /// Another resource of the cloud itself: `/oic/…`.
    case cloud
    /// `/{di}/…`.
    case device
    /// Nothing there is.
    case unknown

    init(path: [String]) {
        switch path {
        case ["oic", "sec", "account"], ["oic", "account"]:
            self = .account
        case ["oic", "sec", "session"], ["oic", "account", "session"]:
            self = .session
        case ["oic", "sec", "tokenrefresh"], ["oic", "account", "tokenrefresh"]:
            self = .tokenRefresh
        case _ where path.first == "oic":
            self = .cloud
        case _ where path.count > 1 && path.first?.isEmpty == false:
            self = .device
        default:
            self = .unknown
        }
    }

    /// These three answer before sign-in, and run one after the other on each connection.
    var isIdentity: Bool {
        switch self {
        case .account, .session, .tokenRefresh: true
        case .cloud, .device, .unknown: false
        }
    }

    /// The path as logs and metrics show it: from a closed set, with no id of anybody's device.
    static func pattern(of path: [String]) -> String {
        switch Resource(path: path) {
        case .account: "/oic/sec/account"
        case .session: "/oic/sec/session"
        case .tokenRefresh: "/oic/sec/tokenrefresh"
        case .cloud where path == ["oic", "rd"]: "/oic/rd"
        case .cloud where path == ["oic", "res"]: "/oic/res"
        case .cloud: "/oic/…"
        case .device: "/{di}/{href}"
        case .unknown: "other"
        }
    }
}
