import Cloud
package import CoAP

/// What the edge itself answers: each says that the request was not delivered, and why.
extension Response {
    package static func edge(
        _ code: Code, _ reason: Undelivered, _ text: String, maxAge: UInt32? = nil
    ) -> Response {
        var response = Response(code, diagnostic: text, maxAge: maxAge)
        response.options.undelivered = reason
        return response
    }

    static func late(_ di: DeviceID) -> Response {
        .edge(.gatewayTimeout, .late, "no time was left to ask device \(di)")
    }

    static func offline(_ di: DeviceID) -> Response {
        .edge(.serviceUnavailable, .noSession, "device \(di) is not connected", maxAge: 10)
    }

    static func moving(_ di: DeviceID) -> Response {
        .edge(.serviceUnavailable, .moving, "device \(di) is between two connections", maxAge: 2)
    }

    /// Too many wait for the device, or for all devices together.
    static func noRoom(_ di: DeviceID) -> Response {
        .edge(.serviceUnavailable, .queueFull, "too many requests wait for device \(di)", maxAge: 1)
    }

    static func routesUnavailable(_ di: DeviceID) -> Response {
        .edge(
            .serviceUnavailable, .routesUnavailable, "routes cannot be looked up now: device \(di) was not asked",
            maxAge: 2)
    }

    static func overloaded() -> Response {
        .edge(.serviceUnavailable, .overloaded, "too many requests are in flight here", maxAge: 1)
    }

    static func tooManyInFlight(_ limits: EdgeLimits) -> Response {
        .tooManyRequests("more than \(limits.inFlightPerOwner) requests of one owner are in flight")
    }

    static func tooManyAtOnePod(_ limits: EdgeLimits) -> Response {
        .tooManyRequests("more than \(limits.inFlightPerOwnerAndPod) requests of one owner are in flight at one pod")
    }

    static func tooManyWaiting(_ limits: EdgeLimits) -> Response {
        .tooManyRequests("more than \(limits.waitersPerOwner) requests of one owner wait for devices to connect")
    }

    /// RFC 8516 §3: 4.29 with Max-Age as the time to wait.
    private static func tooManyRequests(_ text: String) -> Response {
        .edge(.tooManyRequests, .tooManyInFlight, text, maxAge: 1)
    }

    /// Another code and text, still marked as not the device's own answer.
    func saying(_ code: Code, _ text: String) -> Response {
        var response = Response(code, diagnostic: text)
        response.options.undelivered = self.options.undelivered
        return response
    }
}
