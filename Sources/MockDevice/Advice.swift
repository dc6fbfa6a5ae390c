import CoAP

/// What an error means to whoever runs the device, and what to do next.
enum Advice {
    static func refused(_ operation: Operation, _ code: Code, maxAge: UInt32?) -> String {
        if let known = Self.particular(operation, code) {
            return known
        }
        let pause = maxAge.map { " in \(Duration.seconds(Int64($0)).spoken)" } ?? " in a moment"
        switch code {
        case .badRequest:
            return "The cloud does not understand the request: is the device ID one it takes? The log of the cloud "
                + "tells more."
        case .unauthorized:
            return "The cloud does not know who asks. Type session first."
        case .badOption:
            return "The cloud does not know an option every OCF device sends: it is no OCF cloud."
        case .forbidden:
            return "This user may not do that with this device ID: the device belongs to somebody else."
        case .notFound, .methodNotAllowed:
            return "Nothing there takes this request: is the address that of an OCF cloud's device port (5683)?"
        case .notAcceptable, .unsupportedContentFormat:
            return "The cloud does not speak OCF's CBOR (Content-Format 10000, version 1.0.0)."
        case .tooManyRequests:
            return "Too many requests. Try again\(pause)."
        case .serviceUnavailable, .gatewayTimeout, .badGateway:
            return "The cloud cannot answer just now (its store may be down). Try again\(pause); nothing is lost."
        default:
            return code.codeClass == 5
                ? "Something is wrong in the cloud, not here. Its log tells more; try again\(pause)."
                : "The cloud refuses the request. Its log tells more."
        }
    }

    private static func particular(_ operation: Operation, _ code: Code) -> String? {
        switch (operation, code) {
        case (.register, .unauthorized):
            "The one-time token is unknown, used up, expired or meant for another device ID. Provision a new one for "
                + "this device ID and start again with --onetime-token."
        case (.session, .unauthorized):
            "The access token is unknown or expired, or not one of this user ID and device ID. Type refresh and then "
                + "session; if that fails, register again with a new one-time token."
        case (.refresh, .unauthorized):
            "The refresh token is unknown, used up, or not one of this user ID and device ID. Register again with a "
                + "new one-time token."
        case (.publish, .forbidden), (.unpublish, .forbidden):
            "The session is that of another device ID. Type signout, then session."
        case (.publish, .requestEntityTooLarge):
            "The cloud does not take so many links, or such long ones."
        case (.unpublish, .notFound):
            "Nothing of this device is published. Type publish to change that."
        case (.signOut, .badRequest), (.signOut, .unauthorized):
            "There is no session to end. Type session to begin one."
        default:
            nil
        }
    }

    /// - Parameter again: what brings the next attempt.
    static func connecting(
        to address: ServerAddress, _ failure: ConnectFailure, again: String = "Any command tries again"
    ) -> String {
        switch failure.code {
        case .unresolvable:
            "The name \(sanitized(address.host, limit: 100)) has no address: check its spelling and the network, and "
                + "start again with --address HOST:PORT."
        case .refused:
            "Is the cloud running there, and is \(address.port) its CoAP port (5683 as a rule, not the HTTP port)? "
                + "\(again); --address HOST:PORT names another place."
        case .timedOut:
            "Nothing answers at all: a firewall, or the wrong address. \(again); --address HOST:PORT "
                + "names another place."
        case .untrusted:
            "The cloud's certificate comes from no authority believed here, or not for this name. Start again with "
                + "--ca FILE, the PEM file of the cloud's authority: ca.pem, where coap-gateway keeps its data."
        case .notTLS:
            "Is \(address.port) the cloud's port for TLS (5684 as a rule)? Without TLS it is coap+tcp:// and 5683. Any "
                + "command tries again; --address names another place."
        case .exhausted:
            "Let fewer devices run, or allow more open files (ulimit -n, LimitNOFILE); one address and port takes about "
                + "28,000 connections from here, so several ports take more."
        case .unusableCertificates:
            "Look at --ca, --certificate and --key: PEM files, readable, the key belonging to the certificate."
        case .other:
            "\(again); --address HOST:PORT names another place."
        }
    }

    static func unanswered(_ operation: Operation, _ failure: CallFailure) -> String {
        switch failure.code {
        case .timedOut:
            "Is it a CoAP cloud that listens there? A program of another kind takes connections and stays silent. Try "
                + "\(operation.rawValue) again."
        case .connectionLost where failure.wasDelivered:
            "The cloud may or may not have acted on it. Type \(operation.rawValue) again."
        case .connectionLost:
            "The cloud never got it. Type \(operation.rawValue) again."
        case .unusable:
            "The cloud's answer must not be used; its log should tell more."
        case .other:
            "Try \(operation.rawValue) again."
        }
    }

    static func lost(_ address: ServerAddress, isNoCloud: Bool) -> String {
        isNoCloud
            ? "It never answered. If \(address.port) is a TLS port (5684, 443) or an HTTP port, use the cloud's plain CoAP "
                + "port, 5683 as a rule. The next command connects again."
            : "Without a session this device waits; the next command connects again."
    }
}
